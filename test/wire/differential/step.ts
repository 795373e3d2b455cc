/** How the text of a step reaches the server. */
export const textDoors = [
  "runner",
  "client",
  "extended",
  "named",
  "object",
  "cursor",
  "stream",
  "burst",
] as const

/** How a transaction is begun or ended by TypeORM itself. */
export const methods = ["startTransaction", "commitTransaction", "rollbackTransaction"] as const

/** A step by which a text is sent; the statements of the text, in order. */
export interface TextStep {
  readonly door: (typeof textDoors)[number]
  readonly statements: readonly string[]
  readonly values?: readonly unknown[]
}

/** A step by which TypeORM begins or ends a transaction. */
export interface MethodStep {
  readonly door: (typeof methods)[number]
  readonly isolation?: "SERIALIZABLE" | "REPEATABLE READ"
}

/** What is done on one connection, and waited for, before the next step. */
export type Step = TextStep | MethodStep

/** Whether a step sends a text. */
export function isText(step: Step): step is TextStep {
  return "statements" in step
}

/** The text of a step. */
export function textOf({ statements }: TextStep): string {
  return statements.join(";")
}

/** A step in one line, to be read, and to be pasted into a sequence. */
export function lineOf(step: Step): string {
  return JSON.stringify(step)
}
