import type { EndedBecause, Ending } from "../mode/ending"
import type { MaintenanceStatus } from "../mode/status"
import { textOf } from "../notices"
import { capitalized, describeWindow } from "../refusal"
import type { StateStore } from "../state/state-store"
import type { WindowEnding } from "../state/window-ending"
import { timeText } from "../text"

/** A window that was entered here: the id of the call, and the window's facts at that time. */
export interface Tenure {
  readonly id: string
  readonly was: Pick<MaintenanceStatus, "mode" | "maintainer" | "reason" | "message" | "since">
}

/** The end of a window, or its absence. */
export interface Fate extends Ending {
  /** Whether the window is over, or another window lies over it. False if it is in force. */
  readonly isOver: boolean
  /** A clause that says why the window is over, as far as that is known. */
  readonly why: string
}

/** A clause that says why an announced window did not begin. */
export const missed =
  "its start was missed, because another user held a window at that time, no process began it in time, a during() of the same user ran until it would have expired, or the process of its during() was gone"

/** Reads what became of the window that a call has opened, or of the last window of a task. */
export async function fateOf(store: StateStore, call: string): Promise<Fate> {
  try {
    const ending = await store.endingOf(call)
    const { endedBecause, endedBy, endedAt } = ending
    return { endedBecause, endedBy, endedAt, isOver: endedBecause !== undefined, why: whyOver(ending) }
  } catch (error) {
    return { isOver: true, why: `the reason could not be read (${textOf(error)})` }
  }
}

/** A sentence that describes the current state. */
export function insteadOf(is: MaintenanceStatus): string {
  return is.mode === "normal"
    ? "The mode is normal."
    : `${capitalized(is.mode)} maintenance ${describeWindow(is)} is now in force.`
}

/** The cause when the window no longer exists. */
const replaced =
  "the state was replaced from outside, for example by a restore, or by a failover to a server that lacked the last changes"

/** Clauses that say why a window is over. `who` ended it, `at` is when. */
const reasons: Readonly<
  Record<EndedBecause, (told: WindowEnding & { readonly who: string; readonly at: string }) => string>
> = {
  left: ({ who, at }) => `${who} ended it ${at}`,
  expired: ({ at }) => `it expired ${at}`,
  switched: ({ who, nextMode = "another" }) => `${who} entered ${nextMode} mode in the meantime`,
  "taken over": ({ who, at }) => `${who} took it over ${at}`,
  "handed over": ({ who, at, nextMaintainer = "another user" }) =>
    `${who} handed it over to ${nextMaintainer} ${at}`,
  abandoned: ({ at }) => `it was abandoned ${at}, before entering was complete`,
  lost: ({ who, at, endedBy, graceMs }) =>
    endedBy === undefined
      ? `it ended ${at}, because its process gave no sign of life for ${graceMs} ms`
      : `its process was considered gone, and ${who} took it over ${at}`,
  replaced: () => replaced,
  cancelled: ({ who, at }) => `${who} cancelled it ${at}, before it began`,
  missed: () => missed,
}

function whyOver(ending: WindowEnding): string {
  const { endedBecause, endedBy: who = "a user", endedAt } = ending
  if (endedBecause === undefined) return "another window was in force in the meantime"
  return reasons[endedBecause]({ ...ending, who, at: `at ${endedAt && timeText(endedAt)}` })
}
