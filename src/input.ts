import { inspect } from "node:util"
import { isDate } from "node:util/types"
import { MaintenanceInputError } from "./errors"
import { type Mode, modes } from "./mode/mode"
import type { Progress } from "./mode/progress"

/** Maximum length of a user's name, in characters. */
export const maxUserLength = 200
/** Maximum length of a reason, in characters. */
const maxReasonLength = 1000

/**
 * Returns the fault of a text that becomes part of the state, as the end of a sentence; undefined if it has
 * none.
 */
function faultOfText(text: unknown, maxLength: number): string | undefined {
  if (typeof text !== "string") return `is not a string (${text === null ? "null" : typeof text})`
  if (text.trim() === "") return "is empty"
  if (text.length > maxLength) return `is longer than ${maxLength} characters`
  if (text.includes("\0")) return "contains a null character"
  if (/\p{Surrogate}/u.test(text)) return "is not valid Unicode (half of a surrogate pair)"
  return undefined
}

/** Returns the fault of a user, as the end of a sentence; undefined if it has none. */
export function faultOfUser(user: unknown): string | undefined {
  return faultOfText(user, maxUserLength)
}

/** Checks a user given by a caller, possibly as an option. Throws MaintenanceInputError. */
export function checkUser(user: unknown, option?: string): string {
  const fault = faultOfUser(user)
  if (fault) {
    const what = option === undefined ? "A user" : `The user in the option "${option}"`
    throw new MaintenanceInputError(
      `${what} must be a string of 1 to ${maxUserLength} characters, but this one ${fault}.`,
    )
  }
  return user as string
}

/**
 * Checks an optional text given by a caller. Throws MaintenanceInputError, which refers to the text by
 * `name`.
 */
export function checkText(name: string, text: unknown, maxLength: number): string | undefined {
  if (text === undefined) return undefined
  const fault = faultOfText(text, maxLength)
  if (fault)
    throw new MaintenanceInputError(
      `The option ${name} must be a string of 1 to ${maxLength} characters, but this one ${fault}.`,
    )
  return text as string
}

/** Checks an optional reason given by a caller. Throws MaintenanceInputError. */
export function checkReason(reason: unknown): string | undefined {
  return checkText("reason", reason, maxReasonLength)
}

/** Maximum length of a message for the public, in characters. */
const maxMessageLength = 2000

/** Checks an optional message for the public given by a caller. Throws MaintenanceInputError. */
export function checkMessage(message: unknown): string | undefined {
  return checkText("message", message, maxMessageLength)
}

/** Checks a mode given by a caller. Throws MaintenanceInputError. */
export function checkMode(mode: unknown): Mode {
  if (!modes.includes(mode as Mode)) {
    throw new MaintenanceInputError(
      `Unknown mode ${typeof mode === "string" ? JSON.stringify(mode) : inspect(mode)}. Use one of ${modes.join(", ")}.`,
    )
  }
  return mode as Mode
}

/** Maximum duration in milliseconds: the longest delay of a Node timer, about 24 days. */
export const maxDurationMs = 2 ** 31 - 1

/**
 * Checks a duration in milliseconds given by a caller, or returns its default. Throws MaintenanceInputError.
 */
export function durationOf(name: string, value: unknown, defaultMs: number): number {
  if (value === undefined) return defaultMs
  if (typeof value === "number" && value >= 0 && value <= maxDurationMs) return value
  throw new MaintenanceInputError(
    `The option ${name} must be a number of milliseconds from 0 to ${maxDurationMs}, not ${inspect(value)}.`,
  )
}

/** Minimum time in milliseconds until a window ends by itself. A smaller value is a mistaken unit. */
export const minExpiryMs = 1000

/**
 * Checks the optional delay in milliseconds after which a window ends or begins. Throws
 * MaintenanceInputError.
 */
export function checkExpiry(value: unknown, name = "expiresInMs"): number | undefined {
  if (value === undefined) return undefined
  if (typeof value === "number" && value >= minExpiryMs && value <= maxDurationMs) return value
  throw new MaintenanceInputError(
    `The option ${name} must be a number of milliseconds from ${minExpiryMs} to ${maxDurationMs}, not ${inspect(value)}.`,
  )
}

/** Checks an optional time given by a caller. Throws MaintenanceInputError. */
export function checkTime(name: string, value: unknown): Date | undefined {
  if (value === undefined || (isDate(value) && !Number.isNaN(value.getTime()))) return value
  throw new MaintenanceInputError(`The option ${name} must be a valid Date, not ${inspect(value)}.`)
}

/** Checks a count given by a caller, or returns its default. Throws MaintenanceInputError. */
export function checkCount(
  name: string,
  value: unknown,
  { max, fallback }: { max: number; fallback: number },
): number {
  if (value === undefined) return fallback
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= max) return value as number
  throw new MaintenanceInputError(
    `The option ${name} must be a whole number from 1 to ${max}, not ${inspect(value)}.`,
  )
}

/** Checks an optional AbortSignal given by a caller. Throws MaintenanceInputError. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal
  throw new MaintenanceInputError(`The option signal must be an AbortSignal, not ${inspect(signal)}.`)
}

/** Checks a boolean given by a caller; the default is false. Throws MaintenanceInputError. */
export function checkFlag(name: string, value: unknown): boolean {
  if (value === undefined || typeof value === "boolean") return value === true
  throw new MaintenanceInputError(`The option ${name} must be true or false, not ${inspect(value)}.`)
}

/**
 * Checks that a value is an object with no options but these. `option` names it if it is itself an option.
 * Throws MaintenanceInputError.
 */
export function checkOptions(options: unknown, names: readonly string[], option?: string): void {
  if (typeof options !== "object" || options === null) {
    const what = option === undefined ? "The options" : `The option ${option}`
    throw new MaintenanceInputError(
      `${what} must be an object of ${names.join(", ")}, not ${inspect(options)}.`,
    )
  }
  const unknown = Object.keys(options).find((name) => !names.includes(name))
  if (unknown) {
    const name = option === undefined ? unknown : `${option}.${unknown}`
    throw new MaintenanceInputError(`Unknown option "${name}". Known options are ${names.join(", ")}.`)
  }
}

/** Checks that the work of a call is a function. Throws MaintenanceInputError. */
export function checkWork(call: string, work: unknown): void {
  if (typeof work !== "function") throw new MaintenanceInputError(`${call} needs a function to run.`)
}

/** Maximum length of a progress note, in characters. */
const maxNoteLength = 200

/** Checks a progress given by a caller. Throws MaintenanceInputError. */
export function checkProgress(progress: unknown): Progress {
  checkOptions(progress, ["done", "total", "note"], "progress")
  const { done, total, note } = progress as Progress
  return {
    done: checkAmount("progress.done", done),
    ...(total !== undefined && { total: checkAmount("progress.total", total) }),
    ...(note !== undefined && { note: checkText("progress.note", note, maxNoteLength) }),
  }
}

/** Checks an amount of work. Throws MaintenanceInputError. */
function checkAmount(name: string, value: unknown): number {
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value
  throw new MaintenanceInputError(`The option ${name} must be a number of 0 or more, not ${inspect(value)}.`)
}
