import { MaintenanceSetupError } from "./errors"
import { runAs } from "./identity/current-actor"
import type { EnterOptions } from "./window/enter-options"
import { installedMaintenances, type Maintenance } from "./maintenance"
import type { Mode } from "./mode/mode"

// Decorators are applied to methods of every shape, so their types cannot be narrower than this.
// oxlint-disable-next-line typescript/no-explicit-any
type Method = (this: any, ...args: any[]) => unknown
// oxlint-disable-next-line typescript/no-explicit-any
type Class = abstract new (...args: any[]) => object

/**
 * The user for whom a method acts, or a function of the object and the method's arguments that returns the
 * user.
 */
// oxlint-disable-next-line typescript/no-explicit-any
export type UserOf = string | ((self: any, ...args: any[]) => string)

/** Options for `@DuringMaintenance`. */
export interface DuringMaintenanceOptions extends Omit<EnterOptions, "as"> {
  /** The maintainer. Default: the user for whom the running code acts. */
  as?: UserOf | undefined
  /** Returns the Maintenance to use if several are installed in this process. Default: the only one. */
  maintenance?: (() => Maintenance) | undefined
}

/** A decorator for methods and classes, both legacy (`experimentalDecorators`) and standard. */
export interface MaintenanceDecorator {
  // oxlint-disable-next-line typescript/no-explicit-any
  (target: object, key: string | symbol, descriptor: TypedPropertyDescriptor<any>): void
  <M extends Method>(method: M, context: ClassMethodDecoratorContext): M
  (target: Class, context?: ClassDecoratorContext): void
}

/**
 * Runs a method on behalf of a user. On a class, it applies to every method of its own, not to inherited or
 * static ones. If the user is the maintainer, the method runs in a maintainer context. Throws
 * MaintenanceSetupError on anything that is not a method.
 */
export function AsMaintainer(user: UserOf): MaintenanceDecorator {
  return decorator(
    "@AsMaintainer",
    (method) =>
      function (...args) {
        return runAs(userOf(user, this, args), () => method.apply(this, args))
      },
  )
}

/**
 * Runs a method, or every method of a class, within `maintenance.during()`: enters, runs it as the
 * maintainer, leaves. The method then returns a promise. Throws MaintenanceSetupError on anything that is not
 * a method.
 */
export function DuringMaintenance(
  mode: Exclude<Mode, "normal">,
  options: DuringMaintenanceOptions = {},
): MaintenanceDecorator {
  const { as, maintenance = onlyInstalled, ...rest } = options
  return decorator(
    "@DuringMaintenance",
    (method) =>
      async function (...args) {
        const user = as === undefined ? undefined : userOf(as, this, args)
        return maintenance().during(mode, { ...rest, as: user }, () => method.apply(this, args))
      },
  )
}

function userOf(user: UserOf, self: unknown, args: unknown[]): string {
  return typeof user === "function" ? user(self, ...args) : user
}

function onlyInstalled(): Maintenance {
  const [maintenance, another] = [...installedMaintenances].filter(({ isInUse }) => isInUse)
  if (maintenance && !another) return maintenance
  throw new MaintenanceSetupError(
    maintenance
      ? "@DuringMaintenance cannot choose a DataSource, because several have maintenance mode. " +
          "Name one: @DuringMaintenance(mode, { maintenance: () => ... })."
      : installedMaintenances.size > 0
        ? "The DataSource that has maintenance mode is not initialized. Call initialize() first."
        : "Maintenance mode is not installed in this process. Call installMaintenance(dataSource) first.",
  )
}

/** Makes a decorator of both kinds from a function that wraps a method. */
function decorator(name: string, wrap: (method: Method) => Method): MaintenanceDecorator {
  const wrapped = (method: unknown, key: unknown) =>
    alike(wrap(checkMethod(name, method, key)), method as Method)
  const decorate = (target: unknown, keyOrContext?: unknown, descriptor?: PropertyDescriptor): unknown => {
    if (isContext(keyOrContext)) {
      if (keyOrContext.kind === "class") return wrapClass(target, wrapped)
      if (keyOrContext.kind === "method") return wrapped(target, keyOrContext.name)
      throw noMethod(name, keyOrContext.name)
    }
    if (keyOrContext === undefined && descriptor === undefined && typeof target === "function")
      return wrapClass(target, wrapped)
    // The third argument of a parameter decorator is the parameter's position.
    if (typeof descriptor !== "object") throw noMethod(name, keyOrContext ?? "a parameter of the constructor")
    descriptor.value = wrapped(descriptor.value, keyOrContext)
    return descriptor
  }
  return decorate as MaintenanceDecorator
}

function isContext(value: unknown): value is DecoratorContext {
  return typeof value === "object" && value !== null && "kind" in value
}

function wrapClass(target: unknown, wrapped: (method: unknown, key: unknown) => Method): void {
  const { prototype } = target as { prototype: object }
  for (const key of Reflect.ownKeys(prototype)) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, key)
    if (key === "constructor" || typeof descriptor?.value !== "function") continue
    Object.defineProperty(prototype, key, { ...descriptor, value: wrapped(descriptor.value, key) })
  }
}

function checkMethod(decoratorName: string, method: unknown, key: unknown): Method {
  if (typeof method !== "function") throw noMethod(decoratorName, key)
  if (/Generator/.test(Object.getPrototypeOf(method)?.constructor?.name ?? "")) {
    throw new MaintenanceSetupError(
      `${decoratorName} cannot be applied to the generator ${String(key)}, which would run outside the context. ` +
        `Call runAs() or during() around the loop instead.`,
    )
  }
  return method as Method
}

function noMethod(decoratorName: string, key: unknown): MaintenanceSetupError {
  return new MaintenanceSetupError(
    `${decoratorName} is for methods and classes, but ${String(key)} is not a method.`,
  )
}

/** Gives a wrapper the name, length, properties and metadata (reflect-metadata) of the wrapped method. */
function alike(wrapper: Method, method: Method): Method {
  Object.defineProperties(wrapper, Object.getOwnPropertyDescriptors(method))
  const reflect = Reflect as {
    getOwnMetadataKeys?(target: object): unknown[]
    getOwnMetadata?(key: unknown, target: object): unknown
    defineMetadata?(key: unknown, value: unknown, target: object): void
  }
  for (const key of reflect.getOwnMetadataKeys?.(method) ?? []) {
    reflect.defineMetadata?.(key, reflect.getOwnMetadata?.(key, method), wrapper)
  }
  return wrapper
}
