import type { Outcome } from "../../doors/outcome"

/** A statement that an instrument has traced. */
export interface Span {
  readonly text: string
  readonly hasFailed: boolean
}

/** A request to open a door. */
export interface Opening {
  readonly group: string
  readonly door: string
}

/** The result of a request. */
export interface Opened {
  readonly outcome: Outcome
  readonly spans: readonly Span[]
}

export type ToOpener = Opening | "stop"
export type FromOpener = Opened | "ready"
