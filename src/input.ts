import { inspect } from "node:util"
import { isDate } from "node:util/types"
import { MaintenanceInputError } from "./errors"
import { type Mode, modes } from "./mode/mode"

/** The longest name of a user, in characters. */
export const maxUserLength = 200
/** The longest reason, in characters. */
export const maxReasonLength = 1000

/** What is wrong with a text that becomes part of the state, as the end of a sentence; undefined if nothing is. */
function faultOfText(text: unknown, maxLength: number): string | undefined {
  if (typeof text !== "string") return `is no string (${text === null ? "null" : typeof text})`
  if (text.trim() === "") return "is empty"
  if (text.length > maxLength) return `is longer than ${maxLength} characters`
  if (text.includes("\0")) return "contains a null character"
  if (/\p{Surrogate}/u.test(text)) return "is no valid Unicode (half of a surrogate pair)"
  return undefined
}

/** What is wrong with a user, as the end of a sentence; undefined if nothing is. */
export function faultOfUser(user: unknown): string | undefined {
  return faultOfText(user, maxUserLength)
}

/** A user as given by a caller, perhaps as an option; throws MaintenanceInputError. */
export function checkUser(user: unknown, option?: string): string {
  const fault = faultOfUser(user)
  if (fault) {
    const what = option === undefined ? "A user is a string" : `The option ${option} is a user: a string`
    throw new MaintenanceInputError(`${what} of 1 to ${maxUserLength} characters; this one ${fault}.`)
  }
  return user as string
}

/** A text as given by a caller, or none; throws MaintenanceInputError, which calls it by that name. */
function checkText(name: string, text: unknown, maxLength: number): string | undefined {
  if (text === undefined) return undefined
  const fault = faultOfText(text, maxLength)
  if (fault)
    throw new MaintenanceInputError(
      `A ${name} is a string of 1 to ${maxLength} characters; this one ${fault}.`,
    )
  return text as string
}

/** A reason as given by a caller, or none; throws MaintenanceInputError. */
export function checkReason(reason: unknown): string | undefined {
  return checkText("reason", reason, maxReasonLength)
}

/** The longest message for the public, in characters. */
const maxMessageLength = 2000

/** A message for the public as given by a caller, or none; throws MaintenanceInputError. */
export function checkMessage(message: unknown): string | undefined {
  return checkText("message", message, maxMessageLength)
}

/** A mode as given by a caller; throws MaintenanceInputError. */
export function checkMode(mode: unknown): Mode {
  if (!modes.includes(mode as Mode)) {
    throw new MaintenanceInputError(
      `Unknown mode ${typeof mode === "string" ? JSON.stringify(mode) : inspect(mode)}; use one of ${modes.join(", ")}.`,
    )
  }
  return mode as Mode
}

/** The longest duration, in milliseconds: what a timer of Node can wait for, some 24 days. */
export const maxDurationMs = 2 ** 31 - 1

/** A duration in milliseconds as given by a caller, or its default; throws MaintenanceInputError. */
export function durationOf(name: string, value: unknown, defaultMs: number): number {
  if (value === undefined) return defaultMs
  if (typeof value === "number" && value >= 0 && value <= maxDurationMs) return value
  throw new MaintenanceInputError(
    `The option ${name} is a number of milliseconds from 0 to ${maxDurationMs}; this one is ${inspect(value)}.`,
  )
}

/** The shortest window that ends by itself: less is a slip of the unit. */
export const minExpiryMs = 1000

/** After how long a window is to end by itself, or begin, or none; throws MaintenanceInputError. */
export function checkExpiry(value: unknown, name = "expiresInMs"): number | undefined {
  if (value === undefined) return undefined
  if (typeof value === "number" && value >= minExpiryMs && value <= maxDurationMs) return value
  throw new MaintenanceInputError(
    `The option ${name} is a number of milliseconds from ${minExpiryMs} to ${maxDurationMs}; this one is ${inspect(value)}.`,
  )
}

/** A time as given by a caller, or none; throws MaintenanceInputError. */
export function checkTime(name: string, value: unknown): Date | undefined {
  if (value === undefined || (isDate(value) && !Number.isNaN(value.getTime()))) return value
  throw new MaintenanceInputError(`The option ${name} is a valid Date; this one is ${inspect(value)}.`)
}

/** A count as given by a caller, or its default; throws MaintenanceInputError. */
export function checkCount(
  name: string,
  value: unknown,
  { max, fallback }: { max: number; fallback: number },
): number {
  if (value === undefined) return fallback
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= max) return value as number
  throw new MaintenanceInputError(
    `The option ${name} is a whole number from 1 to ${max}; this one is ${inspect(value)}.`,
  )
}

/** An AbortSignal as given by a caller, or none; throws MaintenanceInputError. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal
  throw new MaintenanceInputError(`The option signal is an AbortSignal; this one is ${inspect(signal)}.`)
}

/** A yes or no as given by a caller, by default no; throws MaintenanceInputError. */
export function checkFlag(name: string, value: unknown): boolean {
  if (value === undefined || typeof value === "boolean") return value === true
  throw new MaintenanceInputError(`The option ${name} is true or false; this one is ${inspect(value)}.`)
}

/** Throws MaintenanceInputError for anything but an object with these options, which may be an option itself. */
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
    throw new MaintenanceInputError(`Unknown option "${name}"; known are ${names.join(", ")}.`)
  }
}

/** Throws MaintenanceInputError for anything but a function that a call is to run. */
export function checkWork(call: string, work: unknown): void {
  if (typeof work !== "function") throw new MaintenanceInputError(`${call} needs a function to run.`)
}
