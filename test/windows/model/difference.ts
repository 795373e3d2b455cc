import { isEmergency, users } from "./actions"
import type { Announced } from "./announcements"
import type { Model } from "./model"
import type { Row, Snapshot } from "./snapshot"
import type { Window } from "./window"

/**
 * Describes the difference between the database and the rules, or returns undefined. `before` is the snapshot
 * before a call.
 */
export function difference(model: Model, after: Snapshot, before: Snapshot | undefined): string | undefined {
  const current = model.inForce()
  const begun = model.windows().map((window) => rowOf(window, model.now))
  const announced = model.announcements.windows().map((one) => announcedRowOf(one, model.now))
  const { mode, maintainer, reason } = current ?? { mode: "normal", maintainer: null, reason: null }
  const fence = users.map((user) => {
    const isAdmitted = model.isAdmitted({ user, isEmergency: isEmergency(user) })
    return [user, isAdmitted ? null : mode === "exclusive" ? "MM002" : "MM001"]
  })
  return (
    unequal("windows", [...begun, ...announced], after.windows ?? []) ??
    unequal("what is in force", { mode, maintainer, reason }, after.status) ??
    unequal("who is refused", Object.fromEntries(fence), after.fence) ??
    overDifference(model, after) ??
    (after.isProjected ? undefined : "the state is not the projection of what is in force") ??
    (before && changeDifference(before, after))
  )
}

function rowOf(window: Window, now: number): Row {
  const { id, mode, maintainer, reason, task, lease, grace, instance } = window
  const fromNow = (time: number | null) => (time === null ? null : time - now)
  return {
    ...{
      id,
      position: window.isEntering ? "entering" : "standing",
      mode,
      maintainer,
      reason,
      task,
      since: window.since - now,
    },
    ...{ planned: fromNow(window.planned), expires: fromNow(window.expires), latest: fromNow(window.latest) },
    ...{ lease, grace, instance },
  }
}

function announcedRowOf({ asked, starts, expires, instance }: Announced, now: number): Row {
  const { id, mode, user, reason, planned } = asked
  return {
    ...{ id, position: "announced", mode, maintainer: user, reason, task: null, since: starts - now },
    planned: planned && starts + planned - now,
    ...{ expires: expires === null ? null : expires - now, latest: null, lease: null, grace: null, instance },
  }
}

/**
 * Checks that ended windows stay ended, with the right reason and user. What ends by the clock has no user,
 * and may not have been written yet.
 */
function overDifference(model: Model, { over: found }: Snapshot): string | undefined {
  const over = new Map(Object.entries(found ?? {}))
  for (const [id, ending] of over)
    if (model.over.get(id) !== ending)
      return `"${id}" is over (${ending}), by the rules ${model.over.get(id)}`
  for (const [id, ending] of model.over)
    if (ending !== "expired" && ending !== "lost" && !over.has(id)) return `"${id}" is not over (${ending})`
  return undefined
}

/**
 * Checks the epoch and the stamp. The epoch counts changes of what is in force. The stamp identifies the
 * state, and stays if a window is merely extended.
 */
function changeDifference({ state: old, hasStamp }: Snapshot, { state }: Snapshot): string | undefined {
  const isOther = old.window_id !== state.window_id
  if (isOther !== state.epoch > old.epoch || state.epoch < old.epoch)
    return `the epoch was ${old.epoch} for "${old.window_id}", and is ${state.epoch} for "${state.window_id}"`
  const { stamp: oldStamp, expires_at: oldEnd, ...oldRest } = old
  const { stamp, expires_at: end, ...rest } = state
  const isLonger = oldEnd !== null && end !== null && new Date(oldEnd) < new Date(end)
  const isSame = JSON.stringify(oldRest) === JSON.stringify(rest)
  if (isSame && isLonger && stamp !== oldStamp)
    return "the stamp changed, though the window only stands for longer"
  if (isSame && end === oldEnd && hasStamp && stamp !== oldStamp)
    return "the stamp changed, though the state did not"
  if (!(isSame && (isLonger || end === oldEnd)) && stamp === oldStamp)
    return "the state changed, and its stamp did not"
  return undefined
}

function unequal(what: string, wanted: unknown, found: unknown): string | undefined {
  const [one, other] = [wanted, found].map((value) => JSON.stringify(value))
  return one === other ? undefined : `${what}:\n--   by the rules ${one}\n--   by the database ${other}`
}
