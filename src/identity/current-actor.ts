import { MaintenanceInputError, MaintenanceSetupError } from "../errors"
import type { Actor } from "../mode/actor"
import { checkUser, faultOfUser, maxUserLength } from "../input"
import type { ResolvedOptions } from "../options"
import { messageOf } from "../refusal"
import { type RefusalPolicy, shared, type VetoAt } from "../shared"

/** Options for `maintenance.runAs()`. */
export interface RunAsOptions {
  /**
   * Policy if a window restricts the user: `"wait"` or `"throw"`. Default: the policy of the surrounding
   * code, or else of the DataSource.
   */
  onRefused?: RefusalPolicy | undefined
  /**
   * The moment at which writes of the ORM are vetoed: `"commit"` or `"write"`. Default: as around it, or as
   * the DataSource says.
   */
  vetoAt?: VetoAt | undefined
}

/**
 * Runs a function and everything it starts on behalf of a user. Throws MaintenanceInputError for an invalid
 * user.
 */
export function runAs<T>(user: string, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), user: checkUser(user) }, work)
}

/** Runs a function and everything it starts with its own policy for restricted users. */
export function runWithPolicy<T>(onRefused: RefusalPolicy, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), onRefused }, work)
}

/** Returns the policy for a restricted user who asks for a connection. */
export function currentPolicy(options: ResolvedOptions): RefusalPolicy {
  return shared.context.getStore()?.onRefused ?? options.onRefused
}

/** Runs a function and everything it starts with writes of the ORM vetoed at this moment. */
export function runWithVetoAt<T>(vetoAt: VetoAt, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), vetoAt }, work)
}

/** The moment at which writes of the ORM are vetoed. */
export function currentVetoAt(options: ResolvedOptions): VetoAt {
  return shared.context.getStore()?.vetoAt ?? options.vetoAt
}

/** Runs a function and everything it starts within the transaction of a query runner. */
export function runInQueryRunner<T>(dataSource: object, queryRunner: object, work: () => T): T {
  const context = shared.context.getStore()
  const queryRunners = new Map(context?.queryRunners).set(dataSource, queryRunner)
  return shared.context.run({ ...context, queryRunners }, work)
}

/** The query runner of a DataSource in whose transaction the code runs, as set by `runInQueryRunner()`. */
export function currentQueryRunner(dataSource: object): object | undefined {
  return shared.context.getStore()?.queryRunners?.get(dataSource)
}

/** Runs a function as a task of a user, for `during()`. */
export function runTask<T>(user: string, task: string, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), user, task: { id: task, user } }, work)
}

/** Runs the listeners of a pool, and everything they start, as code that sets up a connection. */
export function runSettingUp<T>(client: object, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), setsUp: client }, work)
}

/** Whether the running code sets up this connection. */
export function isSettingUp(client: object): boolean {
  return shared.context.getStore()?.setsUp === client
}

/** Returns the id of this user's task in which the running code takes part. */
export function currentTask(user: string | undefined): string | undefined {
  const task = shared.context.getStore()?.task
  return task?.user === user ? task?.id : undefined
}

/**
 * Returns the actor for whom the running code acts: the user of the innermost `runAs()`, or else of the
 * option `currentUser`, or else of the environment.
 */
export function currentActor(options: ResolvedOptions): Actor {
  const user = shared.context.getStore()?.user ?? askApplication(options)
  return { user, isEmergency: user !== undefined && options.emergencyUsers.has(user) }
}

/** Returns the actor who changes the mode: the user that the caller names, or else the current one. */
export function namedActor(options: ResolvedOptions, as: string | undefined): Actor {
  if (as === undefined) return currentActor(options)
  const user = checkUser(as)
  return { user, isEmergency: options.emergencyUsers.has(user) }
}

/** Returns the actor's user, for calls that need a known user. Throws MaintenanceInputError. */
export function knownUser({ user }: Actor): string {
  if (user !== undefined) return user
  throw new MaintenanceInputError(
    "The mode was not changed, because no user is known for this call. " +
      "Pass `as`, call within runAs(), or set the option currentUser.",
  )
}

function askApplication({ currentUser, environmentUser }: ResolvedOptions): string | undefined {
  let user: unknown
  try {
    user = currentUser()
  } catch (cause) {
    throw new MaintenanceSetupError(
      `The option currentUser threw an error (${messageOf(cause)}), so the current user is not known, and nothing was sent. ` +
        "Make it return undefined where there is no user.",
      { cause },
    )
  }
  if (user === undefined) return environmentUser
  if (user === null || user === "") return undefined
  const name = nameOf(user)
  const fault = faultOfUser(name)
  if (fault === undefined) return name as string
  throw noUser(user, fault)
}

/**
 * Returns the name of a user that the application knows by a number. Unsafe integers are excluded, because
 * several of them would be one user.
 */
function nameOf(user: unknown): unknown {
  const isNumber = typeof user === "bigint" || (typeof user === "number" && Number.isSafeInteger(user))
  return isNumber ? user.toString() : user
}

/** Makes the error for a value of `currentUser` that is not a user. */
function noUser(user: unknown, fault: string): MaintenanceSetupError {
  if (typeof (user as PromiseLike<unknown>).then === "function") {
    // Nothing else handles its rejection.
    Promise.resolve(user).catch(() => undefined)
    return new MaintenanceSetupError(
      "The option currentUser returned a promise, but it is called for every statement and must return the user synchronously. " +
        "Look up the user when the request begins and keep it in an AsyncLocalStorage, or run the request within runAs().",
    )
  }
  const what = typeof user === "string" ? `a user that ${fault}` : describeValue(user)
  return new MaintenanceSetupError(
    `The option currentUser returned ${what}. A user must be a string of 1 to ${maxUserLength} characters or an integer.`,
  )
}

function describeValue(value: unknown): string {
  if (typeof value === "number") return `a number that is not a safe integer (${value})`
  return typeof value === "object" ? "an object" : `a ${typeof value}`
}
