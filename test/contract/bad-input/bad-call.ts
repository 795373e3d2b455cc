import { inspect } from "node:util"
import { expect } from "chai"

type ErrorClass<E extends Error> = new (message: string) => E
type Call<Subject> = (subject: Subject) => unknown

/** A call that fails, and the whole message of its error, in which `<time>` stands for any time. */
export interface BadCall<Subject> {
  readonly title: string
  readonly message: string
  readonly call: Call<Subject>
}

/** Bad calls by their message. The source of a call is its title. */
export function badCalls<Subject>(
  table: Readonly<Record<string, Call<Subject> | readonly Call<Subject>[]>>,
): BadCall<Subject>[] {
  return Object.entries(table).flatMap(([message, calls]) =>
    [calls].flat().map((call: Call<Subject>) => ({ title: sourceOf(call), message, call })),
  )
}

/** Bad values: a list, or a record of the text of each, which the message shows for `%s`. */
type BadValues = readonly unknown[] | Readonly<Record<string, unknown>>

/**
 * Calls with a bad value of an option, whose name the message shows for `%o`. `drain.then` names the option
 * `then` of the option `drain`.
 */
export function badOptions<Subject>(
  title: string,
  rows: readonly (readonly [option: string, message: string, values: BadValues])[],
  call: (given: never) => Call<Subject>,
): BadCall<Subject>[] {
  return rows.flatMap(([option, message, values]) =>
    textsOf(values).map(([shown, value]) => ({
      title: `${title} with ${option}: ${shown}`,
      message: message.replace("%o", option).replace("%s", () => shown),
      call: call(
        option.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as never,
      ),
    })),
  )
}

/** The object that calls are made on, and the part of it that no bad call may change. */
interface Fixture<Subject, State> {
  subject(): Subject
  stateOf(subject: Subject): State | Promise<State>
  /** Checks more of the error, given the state before the call. */
  check?(error: Error, before: State): void
}

/** Declares a test for each call: it throws an error of exactly this class, and the state is as before. */
export function itRejects<Subject, State>(
  Class: ErrorClass<Error>,
  calls: readonly BadCall<Subject>[],
  { subject, stateOf, check }: Fixture<Subject, State>,
): void {
  for (const { title, message, call } of calls) {
    it(`${title} throws a ${Class.name} and changes nothing`, async () => {
      const target = subject()
      const before = await stateOf(target)
      const error = await thrown(Class, () => call(target))
      const hasTime = message.includes("<time>")
      expect(hasTime ? error.message.replace(anyTime, "<time>") : error.message).to.equal(message)
      check?.(error, before)
      expect(await stateOf(target)).to.deep.equal(before)
    })
  }
}

/** The error of exactly this class that a call throws, or that its promise rejects with. */
export async function thrown<E extends Error>(
  Class: ErrorClass<E>,
  call: () => unknown,
  label = "",
): Promise<E> {
  let error: unknown
  try {
    await call()
  } catch (caught) {
    error = caught
  }
  expect(error, label).to.be.instanceOf(Class)
  expect((error as Error).constructor, label).to.equal(Class)
  return error as E
}

const anyTime = /\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g

function textsOf(values: BadValues): [string, unknown][] {
  if (!Array.isArray(values)) return Object.entries(values)
  return values.map((value: unknown) => [inspect(value, { maxStringLength: 20 }), value])
}

/** The source of an arrow function's body, in a line, without the module names that the compiler adds. */
function sourceOf(call: Call<never>): string {
  return String(call)
    .replace(/^\(?\w*\)? => (m\.)?/, "")
    .replaceAll(/\s+/g, " ")
    .replaceAll(/\(0, \w+\.(\w+)\)/g, "$1")
    .replaceAll(/\b\w+_\d+\./g, "")
}
