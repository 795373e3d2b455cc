import { AccessRefusedError, WriteVetoedError } from "../../src"

/** The actions and refusals of a process over a period of time. */
export interface Tally {
  seconds: number
  reads: number
  commits: number
  vetoes: number
  refusals: number
  /** Number of sales that were given up after 20 conflicts. */
  givenUp: number
  /** Times until refusals were delivered, in microseconds; at most `mostDurations`. */
  refusalMicroseconds: number[]
  /** The message of the first refusal. */
  firstMessage?: string
}

const mostDurations = 20_000

/** Creates an empty tally. */
export function newTally(): Tally {
  return { seconds: 0, reads: 0, commits: 0, vetoes: 0, refusals: 0, givenUp: 0, refusalMicroseconds: [] }
}

/** Counts a failure. Throws errors that the demo does not expect. */
export function countFailure(tally: Tally, error: unknown, microseconds: number): void {
  if (error instanceof AccessRefusedError) {
    tally.refusals++
    if (tally.refusalMicroseconds.length < mostDurations) tally.refusalMicroseconds.push(microseconds)
  } else if (error instanceof WriteVetoedError) tally.vetoes++
  else if ((error as { driverError?: { code?: string } }).driverError?.code === "40001") tally.givenUp++
  else throw error
  if (error instanceof AccessRefusedError || error instanceof WriteVetoedError)
    tally.firstMessage ??= error.detailedMessage
}

/** Adds up the tallies of several processes over the same period. */
export function addUp(tallies: readonly Tally[]): Tally {
  const total = newTally()
  for (const tally of tallies) {
    total.seconds = Math.max(total.seconds, tally.seconds)
    for (const count of ["reads", "commits", "vetoes", "refusals", "givenUp"] as const)
      total[count] += tally[count]
    total.refusalMicroseconds.push(...tally.refusalMicroseconds)
    if (tally.firstMessage) total.firstMessage ??= tally.firstMessage
  }
  return total
}

/** The median of some numbers, or undefined if there is none. */
export function median(numbers: readonly number[]): number | undefined {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]
}
