import type { EndedBecause, Ending } from "../mode/ending"
import type { MaintenanceStatus } from "../mode/status"
import { describeWindow } from "../refusal"
import type { StateStore } from "../state/state-store"
import type { WindowEnding } from "../state/window-ending"

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

/** Reads what became of the window that a call has opened, or of the last window of a task. */
export async function fateOf(store: StateStore, call: string): Promise<Fate> {
  try {
    const ending = await store.endingOf(call)
    const { endedBecause, endedBy, endedAt } = ending
    return { endedBecause, endedBy, endedAt, isOver: endedBecause !== undefined, why: whyOver(ending) }
  } catch (error) {
    return { isOver: true, why: `how it ended could not be read (${String(error)})` }
  }
}

/** A sentence that describes the current state. */
export function insteadOf(is: MaintenanceStatus): string {
  return is.mode === "normal"
    ? "The mode is normal."
    : `Now it is ${is.mode} maintenance ${describeWindow(is)}.`
}

/** The cause when the window no longer exists. */
const replaced =
  "the state was replaced from outside, as by a restore, or a failover to a server that had not got its last changes"

/** Clauses that say why a window is over. `who` ended it, `at` is when. */
const reasons: Readonly<
  Record<EndedBecause, (told: WindowEnding & { readonly who: string; readonly at: string }) => string>
> = {
  left: ({ who, at }) => `${who} ended it ${at}`,
  expired: ({ at }) => `it expired ${at}`,
  switched: ({ who, nextMode = "another" }) => `${who} has entered ${nextMode} mode meanwhile`,
  "taken over": ({ who, at }) => `${who} took it over ${at}`,
  "handed over": ({ who, at, nextMaintainer = "another user" }) =>
    `it was handed over to ${nextMaintainer} by ${who} ${at}`,
  abandoned: ({ at }) => `it was abandoned ${at}, before it was entered to its end`,
  lost: ({ who, at, endedBy, graceMs }) =>
    endedBy === undefined
      ? `it ended ${at} because nothing was heard of its process for ${graceMs} ms`
      : `its process was taken to be gone, and ${who} took it over ${at}`,
  replaced: () => replaced,
  cancelled: ({ who, at }) => `${who} took it back ${at}, before it began`,
  missed: () => "its time was missed, for somebody else held a window then, or no process began it in time",
}

function whyOver(ending: WindowEnding): string {
  const { endedBecause, endedBy: who = "somebody", endedAt } = ending
  if (endedBecause === undefined) return "another window lay over it meanwhile"
  return reasons[endedBecause]({ ...ending, who, at: `at ${endedAt?.toISOString()}` })
}
