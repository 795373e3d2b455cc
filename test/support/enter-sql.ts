/**
 * The SQL that enters a mode with the function that a process calls. Omitted fields take the usual values.
 */
export function enterSql(request: {
  readonly id: string
  readonly mode: "concurrent" | "exclusive"
  readonly acting_user: string
  readonly is_emergency?: boolean
  readonly reason?: string
  readonly task?: string | undefined
  readonly within_task?: string | undefined
  readonly expires_in_ms?: number | undefined
  readonly instance?: number
  readonly lease?: string
  readonly grace_ms?: number
}): string {
  const json = JSON.stringify({ is_emergency: false, within_ms: 0, ...request })
  return `select maintenance.start_entering('${json.replaceAll("'", "''")}'::jsonb) as epoch`
}
