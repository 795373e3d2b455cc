import { inspect } from "node:util"
import { MaintenanceInputError, MaintenanceSetupError } from "./errors"
import { faultOfUser, maxDurationMs, maxUserLength } from "./input"
import type { RefusalPolicy, VetoAt } from "./shared"

/** Options for `installMaintenance()`. */
export interface MaintenanceOptions {
  /**
   * Returns the user for whom the running code acts, where neither `runAs()` nor a decorator names one. An
   * integer stands for the user whose name is its decimal digits. It is called for every statement, so keep
   * it cheap (an AsyncLocalStorage look-up). Where it returns undefined, and by default, the code acts for the user
   * in the environment variable MAINTENANCE_USER if that is set when the plugin is installed, as in a command that
   * `typeorm-maintenance run` has started. Otherwise, and where it returns null or an empty string, the code acts for no user.
   */
  currentUser?: (() => string | number | bigint | null | undefined) | undefined
  /** Users who are treated as the maintainer of every window. Default: none. */
  emergencyUsers?: readonly string[] | undefined
  /**
   * Name of the schema that holds the state. DataSources that name the same schema of the same database share
   * one mode. Lower-case letters, digits and underscores, at most 40 characters. Default: `"maintenance"`.
   */
  schema?: string | undefined
  /**
   * Whether to create or upgrade the schema when the DataSource initializes. The role then needs CREATE on
   * the database. With `false`, use MaintenanceMigration or `maintenanceSchemaSql()`. Default: `true`.
   */
  migrate?: boolean | undefined
  /**
   * Whether to prepare the fence, START TRANSACTION and COMMIT once in each session. Set `false` behind a
   * pooler that gives every transaction another session, such as pgbouncer in transaction mode. They are then
   * parsed each time; docs/benchmarks.md has the figures. Default: `true`.
   */
  preparedStatements?: boolean | undefined
  /**
   * Policy for a restricted user who asks for a connection.
   *
   * - `"throw"`: the call is refused; in concurrent mode, not before it commits a change.
   * - `"wait"`, for workers: the call waits before it takes a connection, even to read, until the window is
   *   over and its turn has come.
   *
   * `maintenance.whenRefused()` sets the policy for a part of the code. Default: `"throw"`.
   */
  onRefused?: RefusalPolicy | undefined
  /**
   * The moment at which a write of the ORM by a restricted user is vetoed. `"commit"`: at the commit of its
   * transaction, or with its statement outside a transaction. `"write"`: before the write is sent, once this
   * process knows of the window. The state is read again first, at the cost of a round trip for the refused
   * write, so a window that is over refuses nothing. Raw SQL is vetoed at the commit in both cases. `runAs()`
   * can override it. Default: `"commit"`.
   */
  vetoAt?: VetoAt | undefined
  /**
   * Maximum wait in milliseconds. The call is then rejected with an AccessRefusedError, in concurrent mode
   * too. Default: 300000 (5 minutes).
   */
  maxWaitMs?: number | undefined
  /**
   * Maximum number of waiting calls. Further calls are rejected immediately with an AccessRefusedError.
   * Default: 1000.
   */
  maxWaiting?: number | undefined
  /**
   * Whether warnings and error messages show the SQL of the sessions that `enter()` waits for: the first 200
   * characters, with all literals. The field `query` of the blockers contains it in any case. Default:
   * `false`.
   */
  showsQueries?: boolean | undefined
  /**
   * Number of days for which the journal keeps windows that are over and their refusals; 1 to 36500. If
   * several DataSources share a schema, the smallest number applies. Default: 400.
   */
  journalDays?: number | undefined
}

/** The options with all defaults filled in. */
export interface ResolvedOptions {
  readonly currentUser: () => string | number | bigint | null | undefined
  readonly emergencyUsers: ReadonlySet<string>
  readonly schema: string
  readonly migrate: boolean
  readonly preparedStatements: boolean
  readonly onRefused: RefusalPolicy
  readonly vetoAt: VetoAt
  readonly maxWaitMs: number
  readonly maxWaiting: number
  readonly showsQueries: boolean
  readonly journalDays: number
  /** The user in the environment variable MAINTENANCE_USER. */
  readonly environmentUser: string | undefined
}

/** Name of the schema that holds the state, unless the option says another one. */
export const defaultSchema = "maintenance"

/** Maximum number of days for which the journal is kept: a century. */
const maxJournalDays = 36_500

/** The default of an option, and the check of a given value: it returns the resolved value, or throws. */
interface Rule<Value> {
  readonly fallback: unknown
  check(value: unknown, name: string): Value
}

/** Each option, with its default and its check. */
const rules = {
  currentUser: { fallback: () => undefined, check: checkCurrentUser },
  emergencyUsers: { fallback: [], check: checkUsers },
  schema: { fallback: defaultSchema, check: checkSchemaName },
  migrate: flag(true),
  preparedStatements: flag(true),
  onRefused: oneOf(["throw", "wait"], "throw"),
  vetoAt: oneOf(["commit", "write"], "commit"),
  maxWaitMs: wholeNumber(300_000, { min: 0, max: maxDurationMs }),
  maxWaiting: wholeNumber(1000, { min: 0, max: maxDurationMs }),
  showsQueries: flag(false),
  journalDays: wholeNumber(400, { min: 1, max: maxJournalDays }),
} satisfies { readonly [Name in OptionName]: Rule<ResolvedOptions[Name]> }

type OptionName = Exclude<keyof ResolvedOptions, "environmentUser">

const optionNames = Object.keys(rules) as OptionName[]

/** The options that a caller may give, and defaults of its own. */
export interface OptionScope {
  readonly names?: readonly OptionName[]
  readonly fallbacks?: MaintenanceOptions
}

/** Checks the options and fills in the defaults. Throws MaintenanceSetupError. */
export function resolveOptions(
  options: MaintenanceOptions,
  { names = optionNames, fallbacks = {} }: OptionScope = {},
): ResolvedOptions {
  if (typeof options !== "object" || options === null) {
    throw new MaintenanceSetupError(`The options must be an object, not ${inspect(options)}.`)
  }
  const unknown = Object.keys(options).find((name) => !(names as readonly string[]).includes(name))
  if (unknown !== undefined) {
    throw new MaintenanceSetupError(`Unknown option "${unknown}". Known options are ${names.join(", ")}.`)
  }
  const resolved = optionNames.map((name) => {
    const { fallback, check } = rules[name]
    const value: unknown = [options[name], fallbacks[name]].find((one) => one !== undefined)
    return [name, check(value === undefined ? fallback : value, name)]
  })
  const environmentUser = userInEnvironment()
  return Object.freeze({ ...Object.fromEntries(resolved), environmentUser } as ResolvedOptions)
}

/** The user in the environment. It is read once, because each look at the environment is slow. */
function userInEnvironment(): string | undefined {
  const user = process.env["MAINTENANCE_USER"]
  if (user === undefined || user === "") return undefined
  const fault = faultOfUser(user)
  if (fault)
    throw new MaintenanceSetupError(
      `The environment variable MAINTENANCE_USER is a user that ${fault}. Name a user of 1 to ${maxUserLength} characters, or unset it.`,
    )
  return user
}

/** Checks a policy given by a caller. Throws MaintenanceInputError. */
export function checkPolicy(policy: unknown): RefusalPolicy {
  return given("The policy", policy, rules.onRefused)
}

/** Checks a moment given by a caller. Throws MaintenanceInputError. */
export function checkVetoAt(vetoAt: unknown): VetoAt {
  return given("The option vetoAt", vetoAt, rules.vetoAt)
}

/** Checks the name of the schema, or returns its default. Throws MaintenanceSetupError. */
export function checkSchemaName(schema: unknown = defaultSchema): string {
  if (typeof schema !== "string" || !/^[a-z_][a-z0-9_]{0,39}$/.test(schema)) {
    throw new MaintenanceSetupError(
      `Invalid schema name ${JSON.stringify(schema)}. Use at most 40 lower-case letters, digits and underscores, ` +
        "beginning with a letter or an underscore.",
    )
  }
  if (schema === "public" || schema === "information_schema" || schema.startsWith("pg_")) {
    throw new MaintenanceSetupError(
      `The schema "${schema}" cannot hold the maintenance state. Name a schema that holds nothing else, such as "maintenance".`,
    )
  }
  return schema
}

function checkCurrentUser(value: unknown): ResolvedOptions["currentUser"] {
  if (typeof value === "function") return value as ResolvedOptions["currentUser"]
  throw new MaintenanceSetupError(
    "The option currentUser must be a function that returns a user or undefined.",
  )
}

function checkUsers(users: unknown): ReadonlySet<string> {
  if (!Array.isArray(users))
    throw new MaintenanceSetupError("The option emergencyUsers must be an array of users.")
  for (const user of users) {
    const fault = faultOfUser(user)
    if (fault) throw new MaintenanceSetupError(`The option emergencyUsers contains a user that ${fault}.`)
  }
  return new Set<string>(users)
}

function flag(fallback: boolean): Rule<boolean> {
  return {
    fallback,
    check(value, name) {
      if (typeof value === "boolean") return value
      throw new MaintenanceSetupError(`The option ${name} must be true or false.`)
    },
  }
}

interface Choice<Value> extends Rule<Value> {
  readonly values: readonly unknown[]
}

function oneOf<Value extends string>(values: readonly Value[], fallback: Value): Choice<Value> {
  return {
    fallback,
    values,
    check(value, name) {
      const fault = faultOfChoice(value, values)
      if (fault) throw new MaintenanceSetupError(`The option ${name} ${fault}`)
      return value as Value
    },
  }
}

/** Checks a value of a choice that is given to a method. Throws MaintenanceInputError. */
function given<Value>(what: string, value: unknown, { values }: Choice<Value>): Value {
  const fault = faultOfChoice(value, values)
  if (fault) throw new MaintenanceInputError(`${what} ${fault}`)
  return value as Value
}

function faultOfChoice(value: unknown, values: readonly unknown[]): string | undefined {
  if (values.includes(value)) return undefined
  return `must be ${values.map((one) => JSON.stringify(one)).join(" or ")}, not ${inspect(value)}.`
}

function wholeNumber(fallback: number, { min, max }: { min: number; max: number }): Rule<number> {
  return {
    fallback,
    check(value, name) {
      if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max)
        return value as number
      throw new MaintenanceSetupError(
        `The option ${name} must be a whole number from ${min} to ${max}, not ${inspect(value)}.`,
      )
    },
  }
}
