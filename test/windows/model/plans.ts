import { type Arbitrary, array, constant, constantFrom, oneof, record } from "fast-check"
import type { Maintenance } from "../../../src"
import { users } from "./actions"
import type { Mode } from "./window"

/** A call of a user. Calls within a task run in succession. */
export type Step =
  | ({ readonly call: "enter"; readonly mode: Mode } & Times)
  | ({ readonly call: "during"; readonly mode: Mode; readonly work: readonly Step[] } & Times)
  | { readonly call: "leave" }
  | { readonly call: "extend"; readonly hours: number | undefined }
  | { readonly call: "transfer"; readonly to: string }

interface Times {
  readonly hours: number | undefined
  readonly planned: number | undefined
}

/** The calls that a user makes in succession, in one DataSource. */
export interface Plan {
  readonly user: string
  readonly dataSource: number
  readonly steps: readonly Step[]
}

const mode = constantFrom<Mode>("concurrent", "exclusive")
const hours = constantFrom(undefined, undefined, 2, 5)
const planned = constantFrom(undefined, undefined, 1, 3)
const enter = record({ call: constant("enter" as const), mode, hours, planned })
const rest: Arbitrary<Step>[] = [
  record({ call: constant("leave" as const) }),
  record({ call: constant("extend" as const), hours }),
  record({ call: constant("transfer" as const), to: constantFrom(...users) }),
]
const inner = array(oneof<Arbitrary<Step>[]>(enter, ...rest), { maxLength: 2 })
const during = record({ call: constant("during" as const), mode, hours, planned, work: inner })

/** The concurrent plans of a few users, in two DataSources. */
export const plans: Arbitrary<Plan[]> = array(
  record({
    user: constantFrom("alice", "alice", "bob", "root"),
    dataSource: constantFrom(0, 1),
    steps: array(oneof<Arbitrary<Step>[]>(enter, during, during, ...rest), { minLength: 1, maxLength: 2 }),
  }),
  { minLength: 2, maxLength: 3 },
)

/** The options of a call, for the call itself and for printing. A plan does not exceed its own expiry. */
function optionsOf(step: Step, as: string): { as: string; expiresInMs?: number; plannedForMs?: number } {
  if (!("hours" in step)) return { as }
  const { hours: end = Infinity } = step
  const plan =
    "planned" in step && step.planned !== undefined && step.planned <= end ? step.planned : undefined
  return {
    as,
    ...(end === Infinity ? {} : { expiresInMs: end * 3_600_000 }),
    ...(plan === undefined ? {} : { plannedForMs: plan * 3_600_000 }),
  }
}

/** Makes a call. `each` makes the calls within a task. */
export function make(
  step: Step,
  {
    maintenance,
    user,
    each,
  }: { maintenance: Maintenance; user: string; each: (steps: readonly Step[]) => Promise<void> },
): Promise<unknown> {
  const options = optionsOf(step, user)
  switch (step.call) {
    case "enter":
      return maintenance.enter(step.mode, options)
    case "during":
      return maintenance.during(step.mode, options, () => each(step.work))
    case "leave":
      return maintenance.leave(options)
    case "extend":
      return maintenance.extend(options)
  }
  return maintenance.transfer({ ...options, to: step.to })
}

/** A plan as TypeScript. */
export function scriptOf({ user, dataSource, steps }: Plan): string {
  const line = (step: Step): string => {
    const options = JSON.stringify({ ...optionsOf(step, user), ...("to" in step ? { to: step.to } : {}) })
    const mode_ = "mode" in step ? `"${step.mode}", ` : ""
    const work = "work" in step ? `, async () => { ${step.work.map(line).join("; ")} }` : ""
    return `await maintenance[${dataSource}].${step.call}(${mode_}${options}${work}).catch(console.log)`
  }
  return `void (async () => { ${steps.map(line).join("; ")} })()`
}
