import {
  MaintenanceError,
  MaintenanceInputError,
  MaintenanceSetupError,
  type RunningTask,
  WindowEndedError,
  type WriteVetoedError,
} from "../errors"
import { installCommand } from "./install-command"
import type { RefusalFacts, RefusedStatement } from "../mode/refusal-facts"
import {
  anotherTask,
  announcedByOthers,
  type NotAnnounced,
  notAnnounced,
  notMaintainer,
  notYoursToCancel,
} from "./not-changed"
import { accessRefused, writeVetoed } from "../refusal"
import { codeOf, isUnreadable, ownSqlState, sqlState } from "../sqlstate"

/** An error of the server, as `pg` delivers it. */
interface ServerError extends Error {
  readonly detail?: string
  readonly hint?: string
}

/** Facts about the statement that an error of the server ended. */
export interface Translated {
  /** The function that raised the error, where that matters. Default: `leave`. */
  readonly called?: string
  /** The statement that was refused, if it is a caller's. */
  readonly statement?: RefusedStatement
}

/** Makes the veto that the server has raised. */
function vetoIn(error: ServerError, statement: RefusedStatement): WriteVetoedError {
  // The server's advice for a refused statement that is not a plain write.
  const advice = detailOf(error).is_cursor ? error.hint : undefined
  const { why = advice, cause = error } = statement
  return writeVetoed({ ...factsIn(error), cause }, { ...statement, why })
}

function detailOf({ detail = "{}" }: ServerError) {
  return JSON.parse(detail)
}

function factsIn(error: ServerError): RefusalFacts {
  const { window, mode, maintainer, reason, message, since, expires_at, retry_after_ms } = detailOf(error)
  return {
    windowId: window ?? undefined,
    mode,
    maintainer: maintainer ?? undefined,
    reason: reason ?? undefined,
    publicMessage: message ?? undefined,
    since: dateIn(since),
    expiresAt: dateIn(expires_at),
    retryAfterMs: typeof retry_after_ms === "number" ? Math.max(0, retry_after_ms) : undefined,
    cause: error,
  }
}

function taskIn(error: ServerError): RunningTask {
  const { task_instance, task_host, task_pid, task_since, task_is_gone } = detailOf(error)
  return {
    host: task_host ?? undefined,
    pid: task_pid ?? undefined,
    since: dateIn(task_since),
    isGone: task_is_gone === true,
    instance: task_instance ?? undefined,
  }
}

function endingIn(error: ServerError): NotAnnounced {
  const { position, begun_at, ended_at, ended_because, ended_by } = detailOf(error)
  return {
    position: position ?? undefined,
    begunAt: dateIn(begun_at),
    endedAt: dateIn(ended_at),
    endedBecause: ended_because ?? undefined,
    endedBy: ended_by ?? undefined,
  }
}

function dateIn(unixMs: unknown): Date | undefined {
  return typeof unixMs === "number" ? new Date(unixMs) : undefined
}

/** Ends of the sentences that name the change that had no window, and the remedy. */
const nothingTo: Readonly<Record<string, string>> = {
  leave: "leave: the mode is already normal. If that is expected, pass ifHeld: true.",
  extend: "extend: the mode is already normal.",
  transfer: "hand over: the mode is already normal.",
  report_progress: "report progress of: the mode is normal.",
}

/**
 * Turns an error of the plugin's own SQL into one of this package's classes.
 *
 * - SQLSTATEs MM001 to MM008 become refusals.
 * - An unreadable state becomes a MaintenanceSetupError.
 * - Everything else (a lost connection, 40001, a timeout) is returned as it is.
 */
export function translateStateError(
  error: unknown,
  schema: string,
  { called = "leave", statement = {} }: Translated = {},
): unknown {
  if (!(error instanceof Error) || error instanceof MaintenanceError) return error
  const serverError: ServerError = error
  switch (codeOf(error)) {
    case ownSqlState.writeVetoed:
      return vetoIn(serverError, statement)
    case ownSqlState.accessRefused:
      return accessRefused(factsIn(serverError), undefined, statement)
    case ownSqlState.notMaintainer:
      return notMaintainer(factsIn(serverError))
    case ownSqlState.noWindow:
      if (called === "cancel") return notAnnounced(endingIn(serverError), error)
      return new MaintenanceInputError(`There is no maintenance to ${nothingTo[called]}`, {
        mode: "normal",
        cause: error,
      })
    case ownSqlState.taskRunning:
      return anotherTask(taskIn(serverError), factsIn(serverError))
    case ownSqlState.windowOver:
      return new WindowEndedError(
        "The window is not in force: it has ended, or a later window is in force. Look at status().",
        factsIn(serverError),
      )
    case ownSqlState.invalidTime:
      return new MaintenanceInputError(`The window was not opened: ${error.message}. ${serverError.hint}`, {
        cause: error,
      })
    case ownSqlState.windowAnnounced:
      return called === "announce"
        ? announcedByOthers(factsIn(serverError), detailOf(serverError).is_bounded !== false)
        : notYoursToCancel(factsIn(serverError))
    case sqlState.untranslatableCharacter:
      return new MaintenanceInputError(
        `The user, the reason or the message contains a character that the encoding of this database lacks (${error.message}), ` +
          "so nothing is committed. Use characters that the encoding has.",
        { cause: error },
      )
  }
  return isUnreadable(error) ? unreadableState(error, schema) : error
}

function unreadableState(error: Error, schema: string): MaintenanceSetupError {
  return new MaintenanceSetupError(
    `The maintenance state cannot be read (${error.message}), so nothing is committed. ` +
      `Check that the schema "${schema}" is installed in this database and that this role may use it. To install it, ` +
      `restart an application whose role may create objects (migrate: true), or run the SQL of ` +
      `maintenanceSchemaSql() as such a role${installCommand(schema)}`,
    { cause: error },
  )
}
