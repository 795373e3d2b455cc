import { inspect } from "node:util"
import { MaintenanceInputError, MaintenanceSetupError } from "./errors"
import { faultOfUser, maxDurationMs } from "./input"
import type { RefusalPolicy, VetoAt } from "./shared"

/** How the plugin is installed in a DataSource. */
export interface MaintenanceOptions {
  /**
   * Whom the running code acts for, where neither `runAs` nor a decorator says so; called for every statement, so
   * keep it cheap (an AsyncLocalStorage look-up). An integer stands for the user whose name are its decimal digits. Without it,
   * code outside `runAs` acts for nobody.
   */
  currentUser?: (() => string | number | bigint | null | undefined) | undefined
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
  /**
   * The moment at which a write of the ORM by a restricted user is vetoed. `"commit"`: when its transaction commits, or its statement if
   * there is none. `"write"`: before it is sent, as soon as this process knows of the window; the state is read once more first, so
   * a window that is over refuses nothing. Raw SQL is vetoed at its commit in either case. `runAs()` overrides it. Default: `"commit"`.
   */
  vetoAt?: VetoAt | undefined
  /** How many milliseconds one waits at most. Then it gets an AccessRefusedError, in concurrent mode, too. Default: 300000, 5 minutes. */
  maxWaitMs?: number | undefined
  /** How many may wait at most. Who comes then gets an AccessRefusedError at once. Default: 1000. */
  maxWaiting?: number | undefined
  /**
   * Whether warnings and error messages show the SQL of the sessions that `enter()` waits for: its first 200 characters, with all literals.
   * `query` of the blockers has it in any case. Default: `false`.
   */
  showsQueries?: boolean | undefined
  /**
   * Number of days for which windows that are over are kept in the journal, with what they refused; 1 to 36500. Of several DataSources
   * on one schema, the smallest decides. Default: 400.
   */
  journalDays?: number | undefined
}

/** The options with every default in place. */
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
}

/** The longest time for which the journal is kept, in days: a century. */
const maxJournalDays = 36_500

const refusalPolicies: readonly unknown[] = ["throw", "wait"] satisfies RefusalPolicy[]

/** A policy as given by a caller; throws MaintenanceInputError. */
export function checkPolicy(policy: unknown): RefusalPolicy {
  if (refusalPolicies.includes(policy)) return policy as RefusalPolicy
  throw new MaintenanceInputError(`The policy is "throw" or "wait"; this one is ${inspect(policy)}.`)
}

const vetoMoments: readonly unknown[] = ["commit", "write"] satisfies VetoAt[]

/** A moment as given by a caller; throws MaintenanceInputError. */
export function checkVetoAt(vetoAt: unknown): VetoAt {
  if (vetoMoments.includes(vetoAt)) return vetoAt as VetoAt
  throw new MaintenanceInputError(`vetoAt is "commit" or "write"; this one is ${inspect(vetoAt)}.`)
}

const known = new Set([
  "currentUser",
  "emergencyUsers",
  "schema",
  "migrate",
  "preparedStatements",
  "onRefused",
  "vetoAt",
  "maxWaitMs",
  "maxWaiting",
  "showsQueries",
  "journalDays",
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
    vetoAt = "commit",
    maxWaitMs = 300_000,
    maxWaiting = 1000,
    showsQueries = false,
    journalDays = 400,
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
  for (const [name, value] of Object.entries({ migrate, preparedStatements, showsQueries })) {
    if (typeof value !== "boolean")
      throw new MaintenanceSetupError(`The option ${name} must be true or false.`)
  }
  if (!refusalPolicies.includes(onRefused)) {
    throw new MaintenanceSetupError(
      `The option onRefused is "throw" or "wait"; this one is ${inspect(onRefused)}.`,
    )
  }
  if (!vetoMoments.includes(vetoAt)) {
    throw new MaintenanceSetupError(
      `The option vetoAt is "commit" or "write"; this one is ${inspect(vetoAt)}.`,
    )
  }
  for (const [name, value, min, max] of [
    ["maxWaitMs", maxWaitMs, 0, maxDurationMs],
    ["maxWaiting", maxWaiting, 0, maxDurationMs],
    ["journalDays", journalDays, 1, maxJournalDays],
  ] as const) {
    if (!Number.isInteger(value) || value < min || value > max)
      throw new MaintenanceSetupError(
        `The option ${name} is a whole number from ${min} to ${max}; this one is ${inspect(value)}.`,
      )
  }
  return Object.freeze({
    currentUser,
    emergencyUsers: new Set<string>(emergencyUsers),
    schema: checkSchemaName(schema),
    migrate,
    preparedStatements,
    onRefused,
    vetoAt,
    maxWaitMs,
    maxWaiting,
    showsQueries,
    journalDays,
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
