import { type Arbitrary, array, constant, constantFrom, nat, oneof, record } from "fast-check"
import type { Mode } from "./window"

/** An action of a user, a process or the clock. Numbers select among whatever exists at that time. */
export type Action =
  | ({ readonly kind: "enter" | "during" } & Opens)
  | ({
      readonly kind: "announce"
      readonly as: "enter" | "during"
      readonly startsIn: number
      readonly isVoid: boolean
    } & Opens)
  | {
      readonly kind: "begin"
      readonly which: number
      /** Number of hours that pass before. */
      readonly passes: number
      readonly process: string | null
      readonly then: "end" | "wait"
    }
  | ({ readonly kind: "cancel"; readonly which: number } & By)
  | ({ readonly kind: "take back" } & By)
  | { readonly kind: "lapse"; readonly which: number; readonly because: "cancelled" | "missed" }
  | { readonly kind: "end" | "interrupt" | "finish" | "again" | "void"; readonly which: number }
  | ({ readonly kind: "abandon"; readonly which: number } & By)
  | ({ readonly kind: "leave"; readonly isVoid: boolean } & By)
  | ({ readonly kind: "extend"; readonly hours: number | null } & By)
  | ({ readonly kind: "transfer"; readonly to: string } & By)
  | { readonly kind: "renew" | "kill" | "come back" | "give up"; readonly process: string }
  | { readonly kind: "pass"; readonly hours: number }
  | { readonly kind: "mend" }

interface By {
  readonly user: string
  /** The process that calls. Null: an outsider, by hand. */
  readonly process: string | null
}

/** The parameters for opening a window. */
export interface Opens extends By {
  readonly mode: Mode
  readonly within: number | null
  readonly reason: string | null
  /** Whether the entering ends without waiting, so that the window stands. */
  readonly then: "end" | "wait"
  readonly hours: number | null
  readonly planned: number | null
  /** Whether the window is tied to the process, untied from any, or neither. */
  readonly tie: "tied" | "untied" | null
}

/** The users of the stories. */
export const users = ["alice", "bob", "root", "chief"]
/** Whether a user is an emergency user. */
export const isEmergency = (user: string): boolean => user === "root" || user === "chief"
/** The processes of the stories. */
export const processes = ["a", "b"]

/** One of these values. The first and the last are chosen most often. */
const some = <T>(...values: T[]) => constantFrom(...values)
const which = nat({ max: 9 })
const recent = some(0, 0, 1, 2, 0)
const user = some("alice", "alice", "alice", "alice", "alice", "bob", "root", "root", "chief")
const process = some("a", "a", "b")
const by = { user, process: some("a", "a", "b", null) }
const hours = some(null, null, null, null, 2, 5)
const passes = some(1, 0, 2, 3, 0, 1)
const because = some<"cancelled" | "missed">("cancelled", "missed")
const newEnd = some(null, 2, 5, 5)

const opening = {
  ...by,
  mode: some<Mode>("concurrent", "exclusive"),
  within: some(null, null, 0, 0, 1, 2),
  then: some<"end" | "wait">("end", "end", "wait"),
  hours,
  planned: some(null, null, null, 1, 3),
  tie: some<"tied" | "untied" | null>(null, null, null, null, null, null, "tied", "untied"),
  reason: some(null, "rebuild", "repair"),
}

const announcing = {
  ...{ ...opening, as: some<"enter" | "during">("enter", "enter", "during", "enter") },
  user: some("alice", "bob", "root", "chief", "alice"),
  startsIn: some(1, 1, 1, 2, 3, 0, 9000, 1, 1, 2, 1),
  hours: some(null, 1, 1, 2),
  planned: some(null, 1, 2),
  isVoid: some(false, false, false, false, true, false, false, false, false),
}

const beginning = { which: recent, process: by.process, passes, then: opening.then }

const act = <T extends object>(model: { [Key in keyof T]: Arbitrary<T[Key]> }) => record<T>(model)
const kind = <K extends Action["kind"]>(name: K) => constant(name)

/** The possible actions and their weights: in any story, and in a story about announcements. */
const happenings: [number, number, Arbitrary<Action>][] = [
  [5, 3, act({ kind: kind("enter"), ...opening })],
  [6, 1, act({ kind: kind("during"), ...opening })],
  [4, 9, act({ kind: kind("announce"), ...announcing })],
  [4, 9, act({ kind: kind("begin"), ...beginning })],
  [1, 3, act({ kind: kind("cancel"), which: recent, ...by, user: announcing.user })],
  [1, 2, act({ kind: kind("take back"), ...by, user: announcing.user })],
  [1, 1, act({ kind: kind("void"), which })],
  [1, 1, act({ kind: kind("lapse"), which: recent, because })],
  [2, 1, act({ kind: kind("end"), which })],
  [2, 0, act({ kind: kind("abandon"), which, ...by })],
  [1, 0, act({ kind: kind("interrupt"), which })],
  [5, 1, act({ kind: kind("finish"), which })],
  [2, 4, act({ kind: kind("again"), which })],
  [2, 3, act({ kind: kind("leave"), isVoid: some(false, false, true), ...by })],
  [8, 1, act({ kind: kind("extend"), hours: newEnd, ...by })],
  [2, 0, act({ kind: kind("transfer"), to: some(...users), ...by })],
  [1, 0, act({ kind: kind("renew"), process })],
  [2, 2, act({ kind: kind("kill"), process })],
  [1, 1, act({ kind: kind("come back"), process })],
  [1, 0, act({ kind: kind("give up"), process })],
  [3, 1, act({ kind: kind("pass"), hours: some(1, 2, 3) })],
  [1, 0, act({ kind: kind("mend") })],
]

const story = (column: 0 | 1): Arbitrary<Action[]> =>
  array(oneof(...happenings.map((one) => ({ weight: one[column], arbitrary: one[2] }))), {
    minLength: 1,
    maxLength: 16,
    size: "max",
  })

/** A story: a sequence of actions. */
export const stories: Arbitrary<Action[]> = oneof(
  { weight: 2, arbitrary: story(0) },
  { weight: 1, arbitrary: story(1) },
)
