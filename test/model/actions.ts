import { type Arbitrary, array, constant, constantFrom, nat, oneof, record } from "fast-check"
import type { Mode } from "./window"

/** Something that a user, a process or the clock does. Numbers choose among what there is by then. */
export type Action =
  | ({
      readonly kind: "enter" | "during"
      readonly mode: Mode
      readonly within: number | null
      readonly then: "end" | "wait"
    } & By &
      Terms & { readonly reason: string | null })
  | { readonly kind: "end" | "interrupt" | "finish" | "again"; readonly which: number }
  | ({ readonly kind: "abandon"; readonly which: number } & By)
  | ({ readonly kind: "leave"; readonly isVoid: boolean } & By)
  | ({ readonly kind: "extend"; readonly hours: number | null } & By)
  | ({ readonly kind: "transfer"; readonly to: string } & By)
  | { readonly kind: "renew" | "kill" | "come back" | "give up"; readonly process: string }
  | { readonly kind: "pass"; readonly hours: number }
  | { readonly kind: "mend" }

interface By {
  readonly user: string
  /** The process that asks; null for an outsider, by hand. */
  readonly process: string | null
}

interface Terms {
  readonly hours: number | null
  /** Whether the window is tied to the process, or untied from any. */
  readonly tie: "tied" | "untied" | null
}

export const users = ["alice", "bob", "root", "chief"]
/** The emergency users. */
export const isEmergency = (user: string): boolean => user === "root" || user === "chief"
export const processes = ["a", "b"]

const some = <T>(...values: T[]) => constantFrom(...values)
const which = nat({ max: 9 })
const user = some("alice", "alice", "alice", "alice", "alice", "bob", "root", "root", "chief")
const process = some("a", "a", "b")
const by = { user, process: some("a", "a", "b", null) }
const hours = some(null, null, null, null, 2, 5)
const newEnd = some(null, 2, 5, 5)

const opening = {
  ...by,
  mode: some<Mode>("concurrent", "exclusive"),
  within: some(null, null, 0, 0, 1, 2),
  then: some<"end" | "wait">("end", "end", "wait"),
  hours,
  tie: some<"tied" | "untied" | null>(null, null, null, null, null, null, "tied", "untied"),
  reason: some(null, "rebuild", "repair"),
}

const act = <T extends object>(model: { [Key in keyof T]: Arbitrary<T[Key]> }) => record<T>(model)
const kind = <K extends Action["kind"]>(name: K) => constant(name)

/** A story: what happens, one after the other. */
export const stories: Arbitrary<Action[]> = array(
  oneof(
    { weight: 5, arbitrary: act({ kind: kind("enter"), ...opening }) },
    { weight: 6, arbitrary: act({ kind: kind("during"), ...opening }) },
    { weight: 2, arbitrary: act({ kind: kind("end"), which }) },
    { weight: 2, arbitrary: act({ kind: kind("abandon"), which, ...by }) },
    { weight: 1, arbitrary: act({ kind: kind("interrupt"), which }) },
    { weight: 5, arbitrary: act({ kind: kind("finish"), which }) },
    { weight: 2, arbitrary: act({ kind: kind("again"), which }) },
    { weight: 2, arbitrary: act({ kind: kind("leave"), isVoid: some(false, false, true), ...by }) },
    { weight: 8, arbitrary: act({ kind: kind("extend"), hours: newEnd, ...by }) },
    { weight: 2, arbitrary: act({ kind: kind("transfer"), to: some(...users), ...by }) },
    { weight: 1, arbitrary: act({ kind: kind("renew"), process }) },
    { weight: 2, arbitrary: act({ kind: kind("kill"), process }) },
    { weight: 1, arbitrary: act({ kind: kind("come back"), process }) },
    { weight: 1, arbitrary: act({ kind: kind("give up"), process }) },
    { weight: 3, arbitrary: act({ kind: kind("pass"), hours: some(1, 2, 3) }) },
    { weight: 1, arbitrary: act({ kind: kind("mend") }) },
  ),
  { minLength: 1, maxLength: 16, size: "max" },
)
