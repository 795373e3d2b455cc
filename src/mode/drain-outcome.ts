/** The possible outcomes of a drain for transactions that are still open when the time is over. */
export const drainOutcomes = ["proceed", "cancel", "terminate", "abandon"] as const
/**
 * The outcome of a drain for transactions that are still open when the time is over.
 * - `proceed` leaves them open; they are refused later if their process has the plugin.
 * - `cancel` cancels their statements.
 * - `terminate` terminates their sessions.
 * - `abandon` restores the previous mode.
 */
export type DrainOutcome = (typeof drainOutcomes)[number]
