import { type Arbitrary, asyncProperty, check, type Parameters } from "fast-check"

/** `MODEL_SEED` and `MODEL_RUNS` ask for other cases, and more. */
export const seed = Number(process.env["MODEL_SEED"] ?? 1)
export const runs = (usual: number): number => Number(process.env["MODEL_RUNS"] ?? usual)

/** Searches for a case that fails, and makes it as small as it can; resolves with what its failure says, or undefined. */
export async function counterexample<T>(
  cases: Arbitrary<T>,
  run: (one: T) => Promise<void>,
  options: Parameters<[T]>,
): Promise<string | undefined> {
  const details = await check(asyncProperty(cases, run), { seed, ...options })
  return details.failed ? (details.errorInstance as Error).message : undefined
}

/** As `counterexample`, and throws if there is one, with the seed. */
export async function expectNone<T>(
  cases: Arbitrary<T>,
  run: (one: T) => Promise<void>,
  numRuns: number,
): Promise<void> {
  const found = await counterexample(cases, run, { numRuns: runs(numRuns) })
  if (found !== undefined) throw new Error(`MODEL_SEED=${seed}\n${found}`)
}
