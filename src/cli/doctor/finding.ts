/** Severity of a finding. */
export type Severity = "ok" | "note" | "warning" | "error"

/** One thing that was examined. */
export interface Finding {
  readonly severity: Severity
  /** Subject of the check, in a word or two. */
  readonly check: string
  /** Result of the check, as a sentence. */
  readonly message: string
  /** Remedy, as a sentence; absent where nothing is to be done. */
  readonly remedy?: string
}

/** The worst severity among findings. */
export function worstOf(findings: readonly Finding[]): Severity {
  const order: readonly Severity[] = ["ok", "note", "warning", "error"]
  return findings.reduce<Severity>(
    (worst, { severity }) => (order.indexOf(severity) > order.indexOf(worst) ? severity : worst),
    "ok",
  )
}
