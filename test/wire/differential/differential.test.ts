import { expect } from "chai"
import { isDeepStrictEqual } from "node:util"
import { type Installed, withMaintenance, withPlainDataSource } from "../../support/data-source"
import { useDatabase, withClient } from "../../support/database"
import { sequenceOf } from "./sequence"
import { shrink } from "./shrink"
import { endless, Side, type Transcript } from "./side"
import { objects } from "./statements"
import { isText, lineOf, type Step } from "./step"

const { FUZZ_SEQUENCES: asked, FUZZ_SEED: given } = process.env
const sequences = Number(asked ?? 300)
/** The same sequences each time, unless more are asked for. */
const seed = Number(given ?? (asked === undefined ? 1 : Math.floor(Math.random() * 1e9)))
/** How many sequences that are not as they should be are shrunk and shown. */
const maxShown = 3

/** So that nothing waits for what a prepared transaction has locked. */
const settings = { poolSize: 1, extra: { options: "-c lock_timeout=100ms" } }

/** What is wrong with a sequence, step by step; undefined if nothing is. */
type Look = (steps: readonly Step[]) => Promise<string | undefined>

/** The sequences that something is wrong with, in their shortest form. */
async function wrong(look: Look): Promise<string> {
  const found: string[] = []
  for (let at = seed; at < seed + sequences && found.length < maxShown; at++) {
    const steps = sequenceOf(at)
    if ((await look(steps)) === undefined) continue
    const least = await shrink(steps, async (fewer) => (await look(fewer)) !== undefined)
    found.push(`FUZZ_SEED=${at}\n${await look(least)}`)
  }
  return found.join("\n\n")
}

/** Steps with what they show, where that is not the same on all sides. */
function shown(steps: readonly Step[], transcripts: Readonly<Record<string, Transcript>>): string {
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
      const lines = Object.entries(transcripts).map(([side, one]) => [side, JSON.stringify(one[at])])
      const isSame = lines.length > 1 && lines.every(([, line]) => line === lines[0]?.[1])
      return isSame ? [name] : [name, ...lines.map(([side, line]) => `    ${side}  ${line}`)]
    })
    .join("\n")
}

/** Refusals, and what PostgreSQL itself says. */
const isError = /^(?:MAINTENANCE_WRITE_VETOED|MAINTENANCE_ACCESS_REFUSED|[0-9A-Z]{5})$/

/** Whether a step of a stranger failed by something else. */
function isOdd(step: Step, outcome: unknown): boolean {
  if (outcome === endless) return true
  const { error } = (outcome ?? {}) as { error?: string }
  return error !== undefined && isText(step) && !isError.test(error)
}

describe("Sequences that a seed determines", function () {
  this.timeout(60_000 + sequences * 400)
  const plainDatabase = useDatabase()
  const fencedDatabase = useDatabase()
  before(async () => {
    for (const { current } of [plainDatabase, fencedDatabase]) await current.sql(objects)
  })

  const onPlainSide = (work: (side: Side) => Promise<void>): Promise<void> => {
    const { url } = plainDatabase.current
    return withClient(url, (outsider) =>
      withPlainDataSource(url, settings, (dataSource) =>
        work(new Side(`${process.pid}_1`, dataSource, (text) => outsider.query(text))),
      ),
    )
  }
  const onFencedSide = (work: (side: Side, installed: Installed) => Promise<void>): Promise<void> => {
    const { url } = fencedDatabase.current
    return withClient(url, (outsider) =>
      withMaintenance(url, settings, (installed) =>
        work(new Side(`${process.pid}_2`, installed.dataSource, (text) => outsider.query(text)), installed),
      ),
    )
  }

  it(`show what plain TypeORM shows, in normal mode: ${sequences} from seed ${seed}`, async () => {
    await onPlainSide((plainSide) =>
      onFencedSide(async (fencedSide) => {
        const difference: Look = async (steps) => {
          const [plain, fenced] = await Promise.all(
            [plainSide, fencedSide].map((side) => side.transcriptOf(steps)),
          )
          if (!plain || !fenced || isDeepStrictEqual(plain, fenced)) return undefined
          return shown(steps, { plain, fenced })
        }
        expect(await wrong(difference)).to.equal("")
      }),
    )
  })

  it(`store nothing for a stranger in concurrent mode: ${sequences} from seed ${seed}`, async () => {
    await onFencedSide(async (side, { maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      const leak: Look = async (steps) => {
        const { before: stored, transcript } = await side.runOf(steps)
        const [, then, , , after] = transcript.slice(steps.length)
        const isUnchanged = isDeepStrictEqual([then, after], [stored, stored])
        const isTold = !steps.some((step, at) => isOdd(step, transcript[at]))
        return isUnchanged && isTold ? undefined : shown(steps, { stranger: transcript })
      }
      expect(await wrong(leak)).to.equal("")
      await maintenance.leave({ as: "alice" })
    })
  })
})
