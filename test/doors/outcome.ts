import { inspect, isDeepStrictEqual } from "node:util"

/** The result of a door for its user, in a form that can be compared between runs. */
export interface Outcome {
  /** The class of the error, if any. */
  readonly refusedBy: string | undefined
  /** The result, or the complete error. */
  readonly shown: string[]
}

/** Runs, and describes the outcome. */
export async function outcomeOf(work: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { refusedBy: undefined, shown: lines(await work()) }
  } catch (error) {
    return { refusedBy: (error as Error).constructor.name, shown: ["rejected", ...lines(error)] }
  }
}

/** A value in full, split into lines. */
export function lines(value: unknown): string[] {
  const options = {
    depth: Infinity,
    maxArrayLength: null,
    maxStringLength: 2000,
    sorted: true,
    breakLength: 1,
  }
  return inspect(describe(value), options).split("\n")
}

/** Differences between two runs that do not matter. */
const ofThisRun = new Set(["stack", "tableID", "dataTypeID", "ordinal_position", "dtd_identifier"])

/** A value with the class of each object in it, without anything specific to a run. */
function describe(value: unknown, seen: readonly object[] = []): unknown {
  if (typeof value === "function") return `function ${value.name}`
  if (typeof value !== "object" || value === null) return value
  if (seen.some((known) => known === value)) return "seen already"
  if (value instanceof Date) return value.getUTCFullYear() > 2000 ? "now" : value.toISOString()
  if (Buffer.isBuffer(value)) return `bytes ${value.toString("hex")}`
  const within = [...seen, value]
  const properties = Object.keys(value)
    .filter((name) => !ofThisRun.has(name) && !name.startsWith("_"))
    .map((name) => [name, describe((value as Record<string, unknown>)[name], within)])
  const described = Object.fromEntries(properties) as Record<string, unknown>
  if (Array.isArray(value))
    return isDeepStrictEqual(Object.keys(value), Object.keys(properties))
      ? properties.map(([, item]) => item)
      : { array: described }
  const isPlain = Object.getPrototypeOf(value) === Object.prototype
  if (value instanceof Error) {
    return {
      class: value.constructor.name,
      name: value.name,
      message: value.message,
      at: caller(value, seen),
      ...described,
    }
  }
  return isPlain ? described : { class: value.constructor?.name, ...described }
}

/**
 * The frames of an error within the doors. Errors of the server or pg are compared only if they reach the
 * caller directly. Within an error of TypeORM, their path is longer than pg shows.
 */
function caller({ stack = "", constructor }: Error, within: readonly object[]): string | undefined {
  const isWrapped = within.some((object) => object instanceof Error)
  if (isWrapped || (constructor.name === "DatabaseError" && within.length > 0)) return undefined
  return /test\/doors\/(?!outcome)[a-z-]+\.[jt]s:\d+/.exec(stack)?.[0]
}
