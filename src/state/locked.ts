import { StateUnavailableError } from "../errors"
import { lineBreak } from "../text"
import { lockKeys } from "./schema"
import type { StateFunctions } from "./state-functions"
import { standbyAwaited } from "./standby"

/**
 * Finds the backends and prepared transactions that have locked the state or its table for longer than a look
 * at it takes.
 */
const holders = (schema: string, hold: number) => `
  select coalesce('backend ' || l.pid, 'prepared transaction ' || x.gid) as name, a.application_name as application,
    a.state
  from pg_catalog.pg_locks l
    left join pg_catalog.pg_stat_activity a on a.pid = l.pid
    left join pg_catalog.pg_prepared_xacts x on l.virtualtransaction = '-1/' || x.transaction
  where l.granted and l.pid is distinct from pg_backend_pid()
    and (l.locktype = 'relation' and l.relation = '"${schema}".state'::regclass and l.mode <> 'AccessShareLock'
      or l.locktype = 'advisory' and l.classid = 0 and l.objid = ${hold} and l.objsubid = 1)
  group by 1, 2, 3`

/** Makes the error for an action that locks of other sessions prevent. It names them. */
export async function stateLocked(functions: StateFunctions, what: string, cause: unknown): Promise<Error> {
  const { schema } = functions
  const awaited = await standbyAwaited((text) => functions.read(text))
  if (awaited !== undefined) return new StateUnavailableError(`${what}: ${awaited}`, { cause })
  const rows = await functions
    .read<{ name: string; application: string | null; state: string | null }>(
      holders(schema, lockKeys(schema).hold),
    )
    .catch(() => [])
  const named = rows.map(({ name, application, state }) => {
    const facts = [application && `application ${application}`, state].filter(Boolean).join(", ")
    return `${lineBreak}- ${name}${facts && ` (${facts})`}`
  })
  return new StateUnavailableError(
    `${what}: other sessions have locked the table "${schema}".state, which only this package should lock.` +
      `${named.join("")}${lineBreak}End ${named.length === 1 ? "it" : "them"} (pg_terminate_backend, ROLLBACK PREPARED) and try again.`,
    { cause },
  )
}
