import { inspect } from "node:util"
import { type DrainOutcome, drainOutcomes, type DrainPlan } from "./drain/drain"
import { MaintenanceInputError, MaintenanceSetupError } from "./errors"
import { modes, type Mode } from "./mode/mode"
import type { RefusalPolicy } from "./shared"

/** How the plugin is installed in a DataSource. */
export interface MaintenanceOptions {
  /**
   * Whom the running code acts for, where neither `runAs` nor a decorator says so; called for every statement, so
   * keep it cheap (an AsyncLocalStorage look-up). Without it, code outside `runAs` acts for nobody.
   */
  currentUser?: (() => string | null | undefined) | undefined
  /** Users who are treated as every window's maintainer. Default: none. */
  emergencyUsers?: readonly string[] | undefined
  /**
   * The schema that holds the state; DataSources that name the same schema of the same database share one
   * switch. Lower-case letters, digits and underscores, at most 40. Default: `"maintenance"`.
   */
  schema?: string | undefined
  /**
   * Whether to create or upgrade the schema when the DataSource initializes; the role then needs CREATE on the
   * database. With `false` use MaintenanceMigration or `maintenanceSchemaSql()`. Default: `true`.
   */
  migrate?: boolean | undefined
  /**
   * Whether the fence, START TRANSACTION and COMMIT are prepared once in each session. Set `false` behind a pooler that gives
   * every transaction another session (pgbouncer in transaction mode); they are then parsed each time, for which
   * docs/benchmarks.md has figures. Default: `true`.
   */
  preparedStatements?: boolean | undefined
  /**
   * What happens to whoever a window restricts and asks for a connection. `"throw"`: it is refused, in concurrent mode not before
   * it commits a change. `"wait"`, for workers: it waits before it takes a connection, be it to read, until the window is
   * over, and then for its turn. `maintenance.whenRefused()` says it for a part of the code. Default: `"throw"`.
   */
  onRefused?: RefusalPolicy | undefined
  /** How many milliseconds one waits at most. Then it gets the refusal. Default: 300000, 5 minutes. */
  maxWaitMs?: number | undefined
  /** How many may wait at most. Who comes then gets the refusal at once. Default: 1000. */
  maxWaiting?: number | undefined
}

/** What is done about what others have running when a mode is entered. */
export interface DrainOptions {
  /** How many milliseconds to wait for it to end. Default: 30000; 0 in concurrent mode if there is no `drain` at all. */
  withinMs?: number | undefined
  /**
   * What to do with what is left then. `proceed`: nothing, it is refused later. `cancel`: cancel its statement; `terminate`:
   * terminate its session; what is left another 5 seconds later makes it be abandoned. `abandon`: the mode goes back to
   * what it was, with a DrainTimeoutError. Default: `proceed` in concurrent mode, `abandon` in exclusive mode.
   */
  then?: DrainOutcome | undefined
}

/** The options with every default in place. */
export interface ResolvedOptions {
  readonly currentUser: () => string | null | undefined
  readonly emergencyUsers: ReadonlySet<string>
  readonly schema: string
  readonly migrate: boolean
  readonly preparedStatements: boolean
  readonly onRefused: RefusalPolicy
  readonly maxWaitMs: number
  readonly maxWaiting: number
}

const refusalPolicies: readonly unknown[] = ["throw", "wait"] satisfies RefusalPolicy[]

/** A policy as given by a caller; throws MaintenanceInputError. */
export function checkPolicy(policy: unknown): RefusalPolicy {
  if (refusalPolicies.includes(policy)) return policy as RefusalPolicy
  throw new MaintenanceInputError(`The policy is "throw" or "wait"; this one is ${inspect(policy)}.`)
}

/** The longest name of a user, in characters. */
export const maxUserLength = 200
/** The longest reason, in characters. */
export const maxReasonLength = 1000

const known = new Set([
  "currentUser",
  "emergencyUsers",
  "schema",
  "migrate",
  "preparedStatements",
  "onRefused",
  "maxWaitMs",
  "maxWaiting",
])

/** Checks the options and fills in the defaults; throws MaintenanceSetupError. */
export function resolveOptions(options: MaintenanceOptions): ResolvedOptions {
  if (typeof options !== "object" || options === null) {
    throw new MaintenanceSetupError(`The options must be an object, not ${inspect(options)}.`)
  }
  for (const name of Object.keys(options)) {
    if (!known.has(name)) {
      throw new MaintenanceSetupError(`Unknown option "${name}"; known are ${[...known].join(", ")}.`)
    }
  }
  const {
    currentUser = () => undefined,
    emergencyUsers = [],
    schema,
    migrate = true,
    preparedStatements = true,
    onRefused = "throw",
    maxWaitMs = 300_000,
    maxWaiting = 1000,
  } = options
  if (typeof currentUser !== "function") {
    throw new MaintenanceSetupError(
      "The option currentUser must be a function that returns a user or undefined.",
    )
  }
  if (!Array.isArray(emergencyUsers)) {
    throw new MaintenanceSetupError("The option emergencyUsers must be an array of users.")
  }
  for (const user of emergencyUsers) {
    const fault = faultOfUser(user)
    if (fault) throw new MaintenanceSetupError(`The option emergencyUsers holds a user that ${fault}.`)
  }
  for (const [name, value] of Object.entries({ migrate, preparedStatements })) {
    if (typeof value !== "boolean")
      throw new MaintenanceSetupError(`The option ${name} must be true or false.`)
  }
  if (!refusalPolicies.includes(onRefused)) {
    throw new MaintenanceSetupError(
      `The option onRefused is "throw" or "wait"; this one is ${inspect(onRefused)}.`,
    )
  }
  for (const [name, value] of Object.entries({ maxWaitMs, maxWaiting })) {
    if (!Number.isInteger(value) || value < 0 || value > maxDurationMs)
      throw new MaintenanceSetupError(
        `The option ${name} is a whole number from 0 to ${maxDurationMs}; this one is ${inspect(value)}.`,
      )
  }
  return Object.freeze({
    currentUser,
    emergencyUsers: new Set<string>(emergencyUsers),
    schema: checkSchemaName(schema),
    migrate,
    preparedStatements,
    onRefused,
    maxWaitMs,
    maxWaiting,
  })
}

/** The name of the schema, or its default; throws MaintenanceSetupError for a name that cannot serve. */
export function checkSchemaName(schema: unknown = "maintenance"): string {
  if (typeof schema !== "string" || !/^[a-z_][a-z0-9_]{0,39}$/.test(schema)) {
    throw new MaintenanceSetupError(
      `Invalid schema name ${JSON.stringify(schema)}: use lower-case letters, digits and underscores, ` +
        `beginning with a letter or an underscore, at most 40.`,
    )
  }
  if (schema === "public" || schema === "information_schema" || schema.startsWith("pg_")) {
    throw new MaintenanceSetupError(
      `The schema "${schema}" cannot hold the state: it must be a schema of its own, like "maintenance".`,
    )
  }
  return schema
}

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

/** A user as given by a caller; throws MaintenanceInputError. */
export function checkUser(user: unknown): string {
  const fault = faultOfUser(user)
  if (fault)
    throw new MaintenanceInputError(
      `A user is a string of 1 to ${maxUserLength} characters; this one ${fault}.`,
    )
  return user as string
}

/** A reason as given by a caller, or none; throws MaintenanceInputError. */
export function checkReason(reason: unknown): string | undefined {
  if (reason === undefined) return undefined
  const fault = faultOfText(reason, maxReasonLength)
  if (fault) {
    throw new MaintenanceInputError(
      `A reason is a string of 1 to ${maxReasonLength} characters; this one ${fault}.`,
    )
  }
  return reason as string
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

/** How long others are waited for, in milliseconds. */
const defaultDrainMs = 30_000
/** The longest duration, in milliseconds: what a timer of Node can wait for, some 24 days. */
const maxDurationMs = 2 ** 31 - 1

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

/** How long a window goes on after the process that it is tied to was heard of last, by default. */
const defaultGraceMs = 30_000

/** After how long a window ends whose process is gone; undefined if it is tied to none. Throws MaintenanceInputError. */
export function graceOf({
  heldWhile,
  graceMs,
  then = "end",
}: {
  heldWhile?: unknown
  graceMs?: unknown
  then?: unknown
}): number | undefined {
  if (then !== "end" && then !== "stay") {
    throw new MaintenanceInputError(`The option then is "end" or "stay"; this one is ${inspect(then)}.`)
  }
  if (heldWhile === undefined) {
    if (graceMs === undefined && then === "end") return undefined
    throw new MaintenanceInputError(
      'The options graceMs and then make sense with heldWhile: "alive" only; what others have running is drain.then.',
    )
  }
  if (heldWhile !== "alive") {
    throw new MaintenanceInputError(
      `The option heldWhile is "alive", or not given; this one is ${inspect(heldWhile)}.`,
    )
  }
  const ms = graceMs ?? defaultGraceMs
  if (typeof ms === "number" && ms >= minExpiryMs && ms <= maxDurationMs) {
    return then === "end" ? ms : undefined
  }
  throw new MaintenanceInputError(
    `The option graceMs is a number of milliseconds from ${minExpiryMs} to ${maxDurationMs}; this one is ${inspect(ms)}.`,
  )
}

/** How many connections of an instance others may use, or undefined; throws MaintenanceInputError. */
export function readersOf(mode: Mode, value: unknown): number | undefined {
  if (value === undefined) return undefined
  if (mode !== "concurrent")
    throw new MaintenanceInputError(
      "The option readers makes sense in concurrent mode only: in exclusive mode nobody else reads.",
    )
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxDurationMs)
    return value as number
  throw new MaintenanceInputError(
    `The option readers is a whole number from 1 up; this one is ${inspect(value)}.`,
  )
}

/** How a mode is entered, with the defaults of that mode; throws MaintenanceInputError. */
export function drainPlanOf(mode: Mode, drain: DrainOptions | undefined): DrainPlan {
  // In concurrent mode vetoes will do; exclusive mode means that nobody else is there.
  const outcome = mode === "exclusive" ? "abandon" : "proceed"
  if (drain === undefined) return { withinMs: mode === "exclusive" ? defaultDrainMs : 0, outcome }
  checkOptions(drain, ["withinMs", "then"])
  const { then = outcome } = drain
  if (!drainOutcomes.includes(then)) {
    throw new MaintenanceInputError(
      `The option drain.then is one of ${drainOutcomes.join(", ")}; this one is ${inspect(then)}.`,
    )
  }
  return { withinMs: durationOf("drain.withinMs", drain.withinMs, defaultDrainMs), outcome: then }
}

/** An AbortSignal as given by a caller, or none; throws MaintenanceInputError. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal
  throw new MaintenanceInputError(`The option signal is an AbortSignal; this one is ${inspect(signal)}.`)
}

/** Throws MaintenanceInputError for anything but an object with these options. */
export function checkOptions(options: unknown, names: readonly string[]): void {
  if (typeof options !== "object" || options === null) {
    throw new MaintenanceInputError(
      `The options must be an object of ${names.join(", ")}, not ${inspect(options)}.`,
    )
  }
  const unknown = Object.keys(options).find((name) => !names.includes(name))
  if (unknown) throw new MaintenanceInputError(`Unknown option "${unknown}"; known are ${names.join(", ")}.`)
}
