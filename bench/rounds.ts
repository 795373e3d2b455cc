/** The results of a contender over all rounds. */
export interface Measured {
  /** The time of each round, relative to the first contender in the same round. */
  readonly ratios: number[]
  /** Times of single calls, in microseconds. */
  readonly latencies: number[]
}

/** The extent of a measurement. */
export interface Effort {
  readonly rounds: number
  /** Total number of calls of each contender in a round. */
  readonly calls: number
  /** Number of loops that call concurrently. */
  readonly loops: number
}

/** One call. `n` differs from call to call. */
export type Call = (n: number) => Promise<unknown>

/**
 * Runs the contenders alternately, round by round. Each round begins with another contender, so that
 * disturbances of the machine affect all of them.
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

/** A quantile of numbers. `q` ranges from 0 to 1. */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}
