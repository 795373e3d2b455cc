import { isText, type Step } from "./step"

/** The shortest sequence that is found by leaving out steps, and statements of steps, and that fails still. */
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
  // The plainest door that will do.
  for (const [at, step] of steps.entries()) {
    if (isText(step) && step.door !== "client") yield steps.toSpliced(at, 1, { ...step, door: "client" })
  }
}
