import { inspect, isDeepStrictEqual } from "node:util"

/** What a door's user gets, in a form that can be compared between runs. */
export interface Outcome {
  /** The class of the error, if it is one. */
  readonly refusedBy: string | undefined
  /** What it resolves with, or all of the error. */
  readonly shown: string[]
}

/** Runs, and describes what came of it. */
export async function outcomeOf(work: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { refusedBy: undefined, shown: lines(await work()) }
  } catch (error) {
    return { refusedBy: (error as Error).constructor.name, shown: ["rejected", ...lines(error)] }
  }
}

/** A value in full, in lines. */
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

/** What may differ between two runs although they are the same. */
const ofThisRun = new Set(["stack", "tableID", "dataTypeID", "ordinal_position", "dtd_identifier"])

/** A value with the class of each object in it, without what belongs to the run that it comes from. */
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
 * Where in the doors an error says that it comes from. What the server or pg reported is asked only where it is itself
 * what the caller gets: within an error of TypeORM's the path to it is longer than pg shows.
 */
function caller({ stack = "", constructor }: Error, within: readonly object[]): string | undefined {
  const isWrapped = within.some((object) => object instanceof Error)
  if (isWrapped || (constructor.name === "DatabaseError" && within.length > 0)) return undefined
  return /test\/doors\/(?!outcome)[a-z-]+\.[jt]s:\d+/.exec(stack)?.[0]
}
