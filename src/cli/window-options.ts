import type { Command } from "commander"
import type { DrainOptions, DrainOutcome, EnterOptions } from "../index"
import { parseDuration } from "./duration"
import { InputFault } from "./input-fault"
import type { ActingOptions } from "./session"

/** Options of a command that opens a window. */
export interface WindowOptions extends ActingOptions {
  readonly reason?: string | undefined
  readonly message?: string | undefined
  readonly expires?: string | undefined
  readonly planned?: string | undefined
  readonly drain?: string | undefined
  readonly then?: string | undefined
  readonly readers?: string | undefined
}

/** Adds the options that say which database to use, and how to print. */
export function connecting(command: Command, { hasJson = true } = {}): Command {
  const connected = command
    .option(
      "-d, --data-source <path>",
      "file that exports your TypeORM DataSource (default: DATABASE_URL, or PGHOST etc.)",
    )
    .option(
      "--schema <name>",
      "schema that holds the state (default: that of the DataSource, or maintenance)",
    )
  return hasJson ? connected.option("--json", "print JSON, with times as ISO strings in UTC") : connected
}

/** Adds these and the options that say who acts. */
export function acting(command: Command, json?: { readonly hasJson: boolean }): Command {
  return connecting(command, json)
    .option("--as <user>", "user who acts (default: MAINTENANCE_USER, or your user on this machine)")
    .option("--emergency", "act as an emergency user, on the window of any maintainer")
}

/** Adds these and the options of a window. */
export function opening(command: Command, json?: { readonly hasJson: boolean }): Command {
  return acting(command, json)
    .option("--reason <text>", "reason, for the operators")
    .option("--message <text>", "message, for the public")
    .option("--expires <duration>", "time after which the window ends by itself, such as 30m")
    .option("--planned <duration>", "time after which you expect to be done")
    .option("--drain <duration>", "time to wait for in-flight transactions (default: 30s)")
    .option("--then <outcome>", "what becomes of those left: proceed, cancel, terminate or abandon")
    .option("--readers <number>", "connections of each instance for other users (concurrent mode)")
}

/** The options for `enter()`. Throws InputFault. */
export function enterOptionsOf(options: WindowOptions, user: string): EnterOptions {
  const { reason, message, expires, planned, readers } = options
  return {
    as: user,
    reason,
    message,
    expiresInMs: expires === undefined ? undefined : parseDuration(expires, "--expires"),
    plannedForMs: planned === undefined ? undefined : parseDuration(planned, "--planned"),
    readers: readers === undefined ? undefined : wholeNumber(readers, "--readers"),
    drain: drainOf(options),
  }
}

function drainOf({ drain, then: outcome }: WindowOptions): DrainOptions | undefined {
  if (drain === undefined && outcome === undefined) return undefined
  return {
    withinMs: drain === undefined ? undefined : parseDuration(drain, "--drain"),
    // Checked by enter().
    then: outcome as DrainOutcome | undefined,
  }
}

/** Parses a whole number of 1 or more. Throws InputFault. */
export function wholeNumber(text: string, option: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InputFault(`${option} "${text}" is not a whole number of 1 or more.`)
}
