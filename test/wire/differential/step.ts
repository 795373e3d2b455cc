/** The ways in which the text of a step reaches the server. */
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

/** TypeORM's own methods that begin or end a transaction. */
export const methods = ["startTransaction", "commitTransaction", "rollbackTransaction"] as const

/** A step that sends a text, with the statements of the text in order. */
export interface TextStep {
  readonly door: (typeof textDoors)[number]
  readonly statements: readonly string[]
  readonly values?: readonly unknown[]
}

/** A step in which TypeORM begins or ends a transaction. */
export interface MethodStep {
  readonly door: (typeof methods)[number]
  readonly isolation?: "SERIALIZABLE" | "REPEATABLE READ"
}

/** One action on a connection. It finishes before the next step begins. */
export type Step = TextStep | MethodStep

/** Whether a step sends a text. */
export function isText(step: Step): step is TextStep {
  return "statements" in step
}

/** The text of a step. */
export function textOf({ statements }: TextStep): string {
  return statements.join(";")
}

/** A step as one line, to be read or pasted into a sequence. */
export function lineOf(step: Step): string {
  return JSON.stringify(step)
}
