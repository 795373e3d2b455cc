import { warn } from "../notices"

/** Delay in milliseconds before the warning about an installation that waits. */
const sayAfterMs = 2500

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
      `The schema "${schema}" is being installed for ${sayAfterMs / 1000} s already, and the DataSource is not initialized ` +
        `before. ${reasons.get(event) ?? `PostgreSQL has it wait for: ${event ?? "nothing that is known"}.`}`,
    )
  const saying = setTimeout(() => void waitsFor().then(report, () => report()), sayAfterMs).unref()
  try {
    return await install()
  } finally {
    clearTimeout(saying)
  }
}

const reasons: ReadonlyMap<string | undefined, string> = new Map([
  [
    "SyncRep",
    "Its commit waits for a synchronous standby that does not answer: start the standby, or take it out of " +
      "synchronous_standby_names and reload.",
  ],
  ["advisory", "Another process is installing it: wait for that, or look at that one's warnings."],
  ["relation", "Somebody holds a lock on one of its tables: see pg_locks."],
])
