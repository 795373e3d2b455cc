import { Dice } from "../../soak/dice"
import { statements, withValues } from "./statements"
import { methods, type Step, type TextStep } from "./step"

type Subject = keyof typeof statements

/** Not the modes of a transaction: where that has begun on the server, this package asks something before a text of several. */
const subjects: Readonly<Record<Exclude<Subject, "mode">, number>> = {
  begin: 5,
  end: 9,
  savepoint: 5,
  prepared: 3,
  twoPhase: 1,
  cursor: 3,
  write: 7,
  read: 3,
  fail: 6,
  session: 2,
  procedure: 2,
}
const doors = { runner: 5, client: 5, extended: 2, named: 2, object: 3, cursor: 1, stream: 1, burst: 1 }
/** The doors by which PostgreSQL takes several statements in a text. */
const doorsForSeveral = { runner: 5, client: 5, object: 2, burst: 1 }
/** What the plugin is not certain to be an end, and so does not run as the first of several in a failed transaction. */
const uncertain: ReadonlySet<string> = new Set(["prepare transaction 'GID'", "commit and", "rollback to"])
/** In a COPY pg waits for ever by the extended protocol, and a cursor throws where nobody catches it. */
const inText = /^copy/
/** A read of a cursor goes on for ever if the statement fails as its transaction ends. */
const inNoCursor = /^(?:insert into part|declare c cursor with hold)/
const transactionControl: ReadonlySet<string> = new Set([
  ...statements.begin,
  ...statements.end,
  ...statements.savepoint,
])
const isolations = ["SERIALIZABLE", "REPEATABLE READ"] as const
/** How a sequence begins: mostly in a transaction that has written, and in half of them has failed. */
const openings: Readonly<Record<string, number>> = { none: 2, open: 2, failed: 4 }

/** The steps of a sequence; the same for the same seed. */
export function sequenceOf(seed: number): Step[] {
  const dice = new Dice(seed)
  const steps = Array.from({ length: dice.between(2, 7) }, () => stepOf(dice))
  const all = [...openingOf(dice), ...steps]
  return all.some(forgets) ? all.map(withoutName) : all
}

function forgets(step: Step): boolean {
  return "statements" in step && step.statements.includes("deallocate all")
}

/** What starts or ends a transaction is sent without its name, so that it goes well though the session has forgotten that. */
function withoutName(step: Step): Step {
  const isNamed = step.door === "named" && transactionControl.has(step.statements[0] as string)
  return isNamed ? { ...step, door: "client" } : step
}

function openingOf(dice: Dice): Step[] {
  const opening = dice.weighted(openings)
  if (opening === "none") return []
  const begin: Step = dice.chance(0.3)
    ? { door: "startTransaction", ...(dice.chance(0.5) ? { isolation: dice.pick(isolations) } : {}) }
    : { door: "client", statements: ["begin"] }
  const mode = dice.chance(0.2) ? [dice.pick(statements.mode)] : []
  const write = dice.pick<string>(statements.write)
  const work: Step[] = dice.chance(0.5)
    ? [...mode, write].map((statement) => ({ door: "client", statements: [statement] }))
    : [{ door: "client", statements: [...mode, write, ...(dice.chance(0.5) ? ["commit; begin"] : [])] }]
  const savepoint: Step[] = dice.chance(0.5) ? [{ door: "client", statements: ["savepoint a"] }] : []
  const failing: Step[] = opening === "failed" ? [{ door: "client", statements: ["select 1 / 0"] }] : []
  const escape: Step[] = dice.chance(0.4) ? [escapeOf(dice)] : []
  return [begin, ...work, ...savepoint, ...failing, ...escape]
}

/** A text that ends the transaction, or goes back in it, and then writes and commits. */
function escapeOf(dice: Dice): Step {
  const first = dice.pick<string>(statements[dice.pick<Subject>(["end", "savepoint"])])
  const rest = [dice.pick<string>(statements.write), dice.pick(["commit", "end; begin", "commit and chain"])]
  return { door: dice.weighted(doorsForSeveral), statements: [first, ...rest] }
}

function stepOf(dice: Dice): Step {
  if (dice.chance(0.1)) return { door: dice.pick(methods) }
  if (dice.chance(0.1)) {
    const { statement, values } = dice.pick(withValues)
    return {
      door: dice.pick(["client", "runner", "named", "cursor", "stream"]),
      statements: [statement],
      values,
    }
  }
  if (dice.chance(0.4)) return severalOf(dice)
  const statement = statementOf(dice)
  const door = dice.weighted(doors)
  const isToBePlain =
    inText.test(statement) || ((door === "cursor" || door === "stream") && inNoCursor.test(statement))
  return { door: isToBePlain ? "client" : door, statements: [statement] }
}

/** Several statements; in half of the texts the first is one that ends something, or looks as if it did. */
function severalOf(dice: Dice): TextStep {
  const first = dice.chance(0.5)
    ? dice.pick<string>(statements[dice.pick<Subject>(["end", "savepoint", "prepared"])])
    : undefined
  const others = Array.from({ length: dice.between(1, 3) }, () => statementOf(dice))
  const begun = first ?? statementOf(dice)
  const all = [begun, ...others].filter((one) => !uncertain.has(one))
  return { door: dice.weighted(doorsForSeveral), statements: dice.chance(0.1) ? ["", ...all] : all }
}

function statementOf(dice: Dice): string {
  return dice.pick<string>(statements[dice.weighted(subjects)])
}
