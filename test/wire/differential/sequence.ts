import { Dice } from "../../soak/dice"
import { statements, withValues } from "./statements"
import { methods, type Step, type TextStep } from "./step"

type Subject = keyof typeof statements

/**
 * Excludes the modes of a transaction. In an open transaction, the plugin sends a query before a text of
 * several statements, and that fixes the modes.
 */
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
/** The doors through which PostgreSQL accepts several statements in a text. */
const doorsForSeveral = { runner: 5, client: 5, object: 2, burst: 1 }
/** The plugin refuses these words in every text of several statements. */
const refusedAmongSeveral = /prepare transaction/
/**
 * Texts that the plugin cannot classify as an end with certainty. In a failed transaction a query object that
 * begins with one of them gets another error than in plain TypeORM, if several statements follow.
 */
const uncertain: ReadonlySet<string> = new Set(["commit and", "rollback to"])
/**
 * In the extended protocol, pg waits forever during COPY, and a cursor throws an error that cannot be caught.
 */
const inText = /^copy/
/** A read of a cursor never finishes if the statement fails at the end of its transaction. */
const inNoCursor = /^(?:insert into part|declare c cursor with hold)/
const transactionControl: ReadonlySet<string> = new Set([
  ...statements.begin,
  ...statements.end,
  ...statements.savepoint,
])
const isolations = ["SERIALIZABLE", "REPEATABLE READ"] as const
/**
 * The beginning of a sequence. Usually a transaction that has written, and in half of the sequences has
 * failed.
 */
const openings: Readonly<Record<string, number>> = { none: 2, open: 2, failed: 4 }

/** The steps of a sequence. The same seed yields the same steps. */
export function sequenceOf(seed: number): Step[] {
  const dice = new Dice(seed)
  const steps = Array.from({ length: dice.between(2, 7) }, () => stepOf(dice))
  const all = [...openingOf(dice), ...steps]
  return all.some(forgets) ? all.map(withoutName) : all
}

function forgets(step: Step): boolean {
  return "statements" in step && step.statements.includes("deallocate all")
}

/**
 * Sends the start or end of a transaction without a name, so that it succeeds after the session has
 * deallocated it.
 */
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

/** A text that ends the transaction or returns to a savepoint, then writes and commits. */
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

/** Several statements. In half of the texts the first ends a transaction, or appears to. */
function severalOf(dice: Dice): TextStep {
  const first = dice.chance(0.5)
    ? dice.pick<string>(statements[dice.pick<Subject>(["end", "savepoint", "prepared"])])
    : undefined
  const others = Array.from({ length: dice.between(1, 3) }, () => statementOf(dice))
  const begun = first ?? statementOf(dice)
  const all = [...(dice.chance(0.1) ? [""] : []), begun, ...others]
  const door = dice.weighted(doorsForSeveral)
  // A burst sends each by itself.
  if (door === "burst") return { door, statements: all }
  const sendable = all.filter((one) => !refusedAmongSeveral.test(one))
  return { door, statements: door === "object" ? sendable.filter(isNoUncertainHead) : sendable }
}

/** Whether a statement is neither uncertain nor preceded by nothing but uncertain and empty ones. */
function isNoUncertainHead(statement: string, at: number, all: readonly string[]): boolean {
  const isEmpty = (one: string) => one.replaceAll(/\/\*.*?\*\//g, "").trim() === ""
  const isFirst = all.slice(0, at).every((one) => isEmpty(one) || uncertain.has(one))
  return !isFirst || !uncertain.has(statement)
}

function statementOf(dice: Dice): string {
  return dice.pick<string>(statements[dice.weighted(subjects)])
}
