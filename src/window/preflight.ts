import { Blockers } from "../drain/blockers"
import type { Actor } from "../mode/actor"
import type { Blocker } from "../mode/blocker"
import type { Mode } from "../mode/mode"
import type { MaintenanceReport } from "../mode/status"
import { lockKeys } from "../state/schema"
import type { StateStore } from "../state/state-store"
import type { WindowHost } from "./host"

/** No state has this epoch, so that no report of an instance counts as one of it. */
const noEpoch = 0

/**
 * Returns the transactions that entering a mode would wait for if it began now. While a window is being entered,
 * returns those that its drain still waits for.
 */
export async function blockersNow(
  host: WindowHost,
  mode: Exclude<Mode, "normal"> | undefined,
  actor: Actor,
): Promise<readonly Blocker[]> {
  const store = await host.access.store()
  const report = await host.access.report()
  const entering = report.windows.findLast(({ position }) => position === "entering")
  const isUnderWay = mode === undefined && entering !== undefined
  const wanted = mode ?? entering?.mode ?? "exclusive"
  const maintainer = isUnderWay ? report.maintainer : actor.user
  // In normal mode, or under another user's window, the instances' reports do not say who acts for the maintainer.
  const isReported = report.mode !== "normal" && report.maintainer === maintainer
  const epoch = isReported ? report.epoch : noEpoch
  const { schema } = host.options
  const blockers = new Blockers(
    (text, values) => store.look(text, values),
    { schema, presence: lockKeys(schema).presence, opened: { epoch, id: "" } },
    () => host.unrestrictedBackends({ mode: wanted, maintainer: maintainer ?? "" }),
  )
  const holders = await holdersOf(store, schema, isUnderWay ? report.epoch : noEpoch)
  // Read before the look, so that no transaction that began before the window seems to have begun after it.
  const sinceMs = isUnderWay ? await sinceBegunMs(store, schema, report) : 0
  const found = (await blockers.look(holders)).blockers
  const isHolder = ({ pid }: Blocker) => holders.includes(pid ?? 0)
  // A concurrent window drains the rest only if that was asked for.
  const drains = isUnderWay && entering.position === "entering" && entering.drainsUntil !== undefined
  if (wanted === "concurrent" && !drains) return found.filter(isHolder)
  // An age is rounded to a millisecond.
  return found.filter((blocker) => isHolder(blocker) || (blocker.ageMs ?? sinceMs) >= Math.floor(sinceMs))
}

/** The backends whose transaction has passed its fence, in another epoch than this one. */
async function holdersOf(store: StateStore, schema: string, epoch: number): Promise<number[]> {
  const { rows } = await store.look<{ pid: number }>(`select pid from "${schema}".holders($1) as pid`, [
    epoch,
  ])
  return rows.map(({ pid }) => pid)
}

/** Milliseconds since the window in force began, on the database's clock. */
async function sinceBegunMs(
  store: StateStore,
  schema: string,
  { windowId }: MaintenanceReport,
): Promise<number> {
  const { rows } = await store.look<{ ms: number | null }>(
    `select extract(epoch from clock_timestamp() - begun_at)::float8 * 1000 as ms from "${schema}".windows() where id = $1`,
    [windowId],
  )
  return rows[0]?.ms ?? 0
}
