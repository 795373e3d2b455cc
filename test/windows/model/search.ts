import { type Arbitrary, asyncProperty, check, type Parameters } from "fast-check"

/** The seed of the cases. `MODEL_SEED` selects another. */
export const seed = Number(process.env["MODEL_SEED"] ?? 1)
/** The number of cases. `MODEL_RUNS` overrides the usual one. */
export const runs = (usual: number): number => Number(process.env["MODEL_RUNS"] ?? usual)

/** Searches for a failing case and shrinks it. Resolves with its failure message, or undefined. */
export async function counterexample<T>(
  cases: Arbitrary<T>,
  run: (one: T) => Promise<void>,
  options: Parameters<[T]>,
): Promise<string | undefined> {
  const details = await check(asyncProperty(cases, run), { seed, ...options })
  return details.failed ? (details.errorInstance as Error).message : undefined
}

/** Throws if `counterexample()` finds a failing case, and names the seed. */
export async function expectNone<T>(
  cases: Arbitrary<T>,
  run: (one: T) => Promise<void>,
  numRuns: number,
): Promise<void> {
  const found = await counterexample(cases, run, { numRuns: runs(numRuns) })
  if (found !== undefined) throw new Error(`MODEL_SEED=${seed}\n${found}`)
}
