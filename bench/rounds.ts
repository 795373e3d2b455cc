/** What a contender did in all rounds. */
export interface Measured {
  /** The time of each round, against that of the first contender in the same round. */
  readonly ratios: number[]
  /** Single calls, in microseconds. */
  readonly latencies: number[]
}

/** How long to measure. */
export interface Effort {
  readonly rounds: number
  /** Calls of each contender in a round, altogether. */
  readonly calls: number
  /** How many loops call at once. */
  readonly loops: number
}

/** One call; `n` differs from call to call. */
export type Call = (n: number) => Promise<unknown>

/**
 * Has the contenders take turns, round by round, each round beginning with another one, so that what disturbs the machine
 * disturbs all of them.
 */
export async function alternate(
  contenders: readonly Call[],
  { rounds, calls, loops }: Effort,
): Promise<Measured[]> {
  const measured = contenders.map((): Measured & { times: number[] } => ({
    ratios: [],
    latencies: [],
    times: [],
  }))
  let n = 0
  const turn = async (call: Call, latencies: number[]) => {
    const start = performance.now()
    await Promise.all(
      Array.from({ length: loops }, async () => {
        for (let count = 0; count < calls / loops; count++) {
          const before = performance.now()
          await call(n++)
          latencies.push((performance.now() - before) * 1000)
        }
      }),
    )
    return performance.now() - start
  }
  for (const call of contenders) await turn(call, [])
  for (const call of contenders) await turn(call, [])
  for (let round = 0; round < rounds; round++) {
    const times: number[] = []
    for (let place = 0; place < contenders.length; place++) {
      const index = (place + round) % contenders.length
      times[index] = await turn(contenders[index] as Call, (measured[index] as Measured).latencies)
    }
    times.forEach((time, index) => measured[index]?.ratios.push(time / (times[0] as number)))
  }
  return measured
}

/** A quantile of numbers, from 0 to 1. */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}
