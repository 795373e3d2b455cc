/** The progress of the maintainer's work, for `progress()`. */
export interface Progress {
  /** Amount of work that is done, in any unit; 0 or more. */
  readonly done: number
  /** Whole amount of work, in the same unit; 0 or more. Default: unknown. */
  readonly total?: number | undefined
  /** Current step, for the operators; at most 200 characters. Default: none. */
  readonly note?: string | undefined
}

/** A reported progress, as the status shows it. */
export interface ReportedProgress extends Progress {
  /** Time of the report, on the database's clock. */
  readonly at: Date
}
