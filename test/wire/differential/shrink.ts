import { isText, type Step } from "./step"

/**
 * Removes steps, and statements of steps, as long as the sequence still fails. Resolves with the shortest
 * sequence found.
 */
export async function shrink(
  steps: readonly Step[],
  fails: (steps: readonly Step[]) => Promise<boolean>,
): Promise<readonly Step[]> {
  for (const smaller of smallerThan(steps)) {
    if (await fails(smaller)) return shrink(smaller, fails)
  }
  return steps
}

function* smallerThan(steps: readonly Step[]): Generator<Step[]> {
  for (const [at, step] of steps.entries()) {
    yield steps.toSpliced(at, 1)
    if (!isText(step) || step.statements.length === 1) continue
    for (const index of step.statements.keys()) {
      yield steps.toSpliced(at, 1, { ...step, statements: step.statements.toSpliced(index, 1) })
    }
  }
  // Prefers the simplest door.
  for (const [at, step] of steps.entries()) {
    if (isText(step) && step.door !== "client") yield steps.toSpliced(at, 1, { ...step, door: "client" })
  }
}
