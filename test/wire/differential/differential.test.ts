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
/** Seed of the first sequence. Fixed, unless a number of sequences is requested. */
const seed = Number(given ?? (asked === undefined ? 1 : Math.floor(Math.random() * 1e9)))
/** Maximum number of failing sequences that are shrunk and printed. */
const maxShown = 3

/** The lock timeout prevents waiting for locks of prepared transactions. */
const settings = { poolSize: 1, extra: { options: "-c lock_timeout=100ms" } }

/** Checks a sequence. Resolves with a description of the failure, step by step, or undefined. */
type Look = (steps: readonly Step[]) => Promise<string | undefined>

/** The failing sequences in their shortest form. */
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

/** The steps, with their outcomes where the sides differ. */
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

/** Refusals and SQLSTATEs. */
const isError = /^(?:MAINTENANCE_WRITE_VETOED|MAINTENANCE_ACCESS_REFUSED|[0-9A-Z]{5})$/

/** Whether a step of another user failed with any other error. */
function isOdd(step: Step, outcome: unknown): boolean {
  if (outcome === endless) return true
  const { error } = (outcome ?? {}) as { error?: string }
  return error !== undefined && isText(step) && !isError.test(error)
}

describe("Pseudo-random sequences of statements", function () {
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

  it(`behave in normal mode as in plain TypeORM: ${sequences} from seed ${seed}`, async () => {
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

  it(`store nothing for other users in concurrent mode: ${sequences} from seed ${seed}`, async () => {
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
