import { MaintenanceInputError, MaintenanceSetupError } from "../errors"
import type { Actor } from "../mode/actor"
import { checkUser, faultOfUser, maxUserLength } from "../input"
import type { ResolvedOptions } from "../options"
import { type RefusalPolicy, shared, type VetoAt } from "../shared"

/** Options for `maintenance.runAs()`. */
export interface RunAsOptions {
  /** What happens if a window restricts the user: `"wait"` or `"throw"`. Default: as around it, or as the DataSource says. */
  onRefused?: RefusalPolicy | undefined
  /** The moment at which writes of the ORM are vetoed: `"commit"` or `"write"`. Default: as around it, or as the DataSource says. */
  vetoAt?: VetoAt | undefined
}

/** Runs a function, and all that it starts, on behalf of a user; throws MaintenanceInputError for no user. */
export function runAs<T>(user: string, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), user: checkUser(user) }, work)
}

/** Runs a function, and all that it starts, with a policy of its own for whom a window restricts. */
export function runWithPolicy<T>(onRefused: RefusalPolicy, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), onRefused }, work)
}

/** What happens to whoever is restricted and asks for a connection. */
export function currentPolicy(options: ResolvedOptions): RefusalPolicy {
  return shared.context.getStore()?.onRefused ?? options.onRefused
}

/** Runs a function, and all that it starts, with writes of the ORM vetoed at this moment. */
export function runWithVetoAt<T>(vetoAt: VetoAt, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), vetoAt }, work)
}

/** The moment at which writes of the ORM are vetoed. */
export function currentVetoAt(options: ResolvedOptions): VetoAt {
  return shared.context.getStore()?.vetoAt ?? options.vetoAt
}

/** Runs a function, and all that it starts, within the transaction of a query runner. */
export function runInQueryRunner<T>(queryRunner: object, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), queryRunner }, work)
}

/** The query runner within whose transaction the code runs, if `runInQueryRunner` has said it. */
export function currentQueryRunner(): object | undefined {
  return shared.context.getStore()?.queryRunner
}

/** Runs a function as a task of a user: what `during` does. */
export function runTask<T>(user: string, task: string, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), user, task: { id: task, user } }, work)
}

/** Runs the listeners of a pool, and all that they start, as what sets up a connection. */
export function runSettingUp<T>(client: object, work: () => T): T {
  return shared.context.run({ ...shared.context.getStore(), setsUp: client }, work)
}

/** Whether the running code sets up this connection. */
export function isSettingUp(client: object): boolean {
  return shared.context.getStore()?.setsUp === client
}

/** The task of this user that the running code belongs to. */
export function currentTask(user: string | undefined): string | undefined {
  const task = shared.context.getStore()?.task
  return task?.user === user ? task?.id : undefined
}

/** Whom the running code acts for: the innermost `runAs`, else the option `currentUser`. */
export function currentActor(options: ResolvedOptions): Actor {
  const user = shared.context.getStore()?.user ?? askApplication(options)
  return { user, isEmergency: user !== undefined && options.emergencyUsers.has(user) }
}

/** The user named by the caller, else the current one, as an actor who changes the mode. */
export function namedActor(options: ResolvedOptions, as: string | undefined): Actor {
  if (as === undefined) return currentActor(options)
  const user = checkUser(as)
  return { user, isEmergency: options.emergencyUsers.has(user) }
}

/** The actor's user, for what an unknown user may not do; throws MaintenanceInputError. */
export function knownUser({ user }: Actor): string {
  if (user !== undefined) return user
  throw new MaintenanceInputError(
    "It is not known who changes the mode: pass `as`, call within runAs(), or set the option currentUser.",
  )
}

function askApplication({ currentUser }: ResolvedOptions): string | undefined {
  let user: unknown
  try {
    user = currentUser()
  } catch (cause) {
    throw new MaintenanceSetupError(
      `The option currentUser threw (${messageOf(cause)}), so it is not known who is asking, and the statement was not sent. ` +
        "Have it return undefined where there is no user.",
      { cause },
    )
  }
  if (user === undefined || user === null || user === "") return undefined
  const name = nameOf(user)
  const fault = faultOfUser(name)
  if (fault === undefined) return name as string
  throw noUser(user, fault)
}

/** The name of a user whom the application knows by a number. Beyond the safe integers several would be one. */
function nameOf(user: unknown): unknown {
  const isNumber = typeof user === "bigint" || (typeof user === "number" && Number.isSafeInteger(user))
  return isNumber ? user.toString() : user
}

/** The error for what the option currentUser has returned, and is no user. */
function noUser(user: unknown, fault: string): MaintenanceSetupError {
  if (typeof (user as PromiseLike<unknown>).then === "function") {
    // Nobody else hears of it if it fails.
    Promise.resolve(user).catch(() => undefined)
    return new MaintenanceSetupError(
      "The option currentUser returned a promise, but it is called for every statement and must return the user at once. " +
        "Look the user up when the request begins, and keep it in an AsyncLocalStorage, or run the request by runAs().",
    )
  }
  const what = typeof user === "string" ? `a user that ${fault}` : describeValue(user)
  return new MaintenanceSetupError(
    `The option currentUser returned ${what}; a user is a string of 1 to ${maxUserLength} characters, or an integer.`,
  )
}

function describeValue(value: unknown): string {
  if (typeof value === "number") return `a number that is no safe integer (${value})`
  return typeof value === "object" ? "an object" : `a ${typeof value}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
