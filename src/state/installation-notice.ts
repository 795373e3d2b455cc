import { warn } from "../notices"

/** Delay in milliseconds before the warning about an installation that waits. */
const warnAfterMs = 2500

/**
 * Runs the installation of a schema, and warns if it takes long. The application does not start meanwhile,
 * and nothing else would give the reason. `waitsFor` returns the event that the installing session waits for.
 */
export async function installAloud<T>(
  schema: string,
  waitsFor: () => Promise<string | undefined>,
  install: () => Promise<T>,
): Promise<T> {
  const report = (event?: string) =>
    warn(
      `The installation of the schema "${schema}" has taken ${warnAfterMs / 1000} s so far, and the DataSource is not ` +
        `initialized until it is complete. ${reasons.get(event) ?? otherReason(event)}`,
    )
  const warning = setTimeout(() => void waitsFor().then(report, () => report()), warnAfterMs).unref()
  try {
    return await install()
  } finally {
    clearTimeout(warning)
  }
}

function otherReason(event: string | undefined): string {
  return event === undefined
    ? "The reason could not be determined."
    : `In pg_stat_activity, the wait_event of its session is ${event}.`
}

const reasons: ReadonlyMap<string | undefined, string> = new Map([
  [
    "SyncRep",
    "Its commit waits for a synchronous standby that does not answer. Start the standby, or remove it from " +
      "synchronous_standby_names and reload the configuration.",
  ],
  ["advisory", "Another process is installing the schema. Wait for that process, or look at its warnings."],
  ["relation", "Another session holds a lock on one of the tables. Find the session in pg_locks."],
])
