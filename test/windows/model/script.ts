import { Client } from "pg"
import { difference } from "./difference"
import { Model } from "./model"
import { emptied, type Snapshot, snapshot } from "./snapshot"
import { literal } from "./texts"
import { Refusal } from "./refusals"

/** A call that can be made again: its text, and what the rules make of it. */
export interface Call {
  readonly text: string
  readonly session: string
  readonly name: string | undefined
  readonly apply: (model: Model) => unknown
}

/** What a function of the schema answers. */
type Answer = string | number | boolean | null

/** A process: its watch, its id as an instance, and its calls and tasks, which it names when it comes again. */
export interface Process {
  watch: Client | undefined
  id: number
  readonly entries: string[]
}

/** The session of an outsider, who calls by hand. */
export const outsider = "outsider"

/** Has the database and the model do the same; throws where they differ, with the script of all that was done. */
export class Script {
  readonly processes = new Map<string, Process>()
  /** The calls that have a name, so that they can be made again. */
  readonly calls: Call[] = []
  readonly #url: string
  readonly #client: Client
  readonly #model = new Model()
  readonly #answers = new Map<string, Answer>()
  readonly #lines: string[] = []
  #session = outsider
  #before: Snapshot | undefined

  /** The client is of an outsider. */
  constructor(url: string, client: Client) {
    this.#url = url
    this.#client = client
  }

  /** Runs a story; the database has no windows before, nor afterwards. */
  async run(story: () => Promise<void>): Promise<void> {
    await this.#client.query(emptied)
    this.#before = await snapshot(this.#client)
    try {
      await story()
    } finally {
      for (const { watch } of this.processes.values()) await watch?.end()
      await this.#client.query(emptied)
    }
  }

  /** The epoch that a call of this name has returned last; undefined if it has returned none. */
  epochOf(name: string): number | undefined {
    const answer = this.#answers.get(name)
    return typeof answer === "number" ? answer : undefined
  }

  /** Has the time pass. */
  pass(hours: number): Promise<void> {
    const apply = (model: Model) => void (model.now += hours)
    return this.call(null, { text: `story.pass(${hours})`, apply })
  }

  /** Throws if the state has not the stamp that transactions see. */
  checkStamp(): void {
    // A call that is refused may have set one.
    if (!this.#before?.hasStamp) this.#differs("the state has not the stamp that transactions see")
  }

  /** Makes a call, in the session of a process (null: of an outsider). */
  async call(
    session: string | null,
    call: Omit<Call, "session" | "name"> & { name?: string | undefined },
  ): Promise<void> {
    const made = { name: undefined, ...call, session: session ?? outsider }
    if (made.name !== undefined) this.calls.push(made)
    await this.make(made)
  }

  /** Has a call made by the database and by the model, and compares what becomes of it. */
  async make({ text, session, name, apply }: Call): Promise<void> {
    const client = this.processes.get(session)?.watch ?? this.#client
    this.#say(client === this.#client ? outsider : session, `select ${text};`)
    const isAgain = name !== undefined && this.#model.made.has(name)
    const expected = attempt(() => apply(this.#model))
    const found = await client
      .query<{ answer: Answer }>(`select ${text} as answer`)
      .then(({ rows }) => rows[0]?.answer ?? null, refusedAs)
    const [wanted, got] = [expected, found].map((one) => (one instanceof Refusal ? one.code : "made"))
    if (wanted !== got) this.#differs(`the call: ${wanted} by the rules, ${got} by the database`)
    const after = await this.#compare()
    if (name === undefined || found instanceof Refusal) return
    const isOther = isAgain && this.#answers.get(name) !== undefined && found !== this.#answers.get(name)
    if (isOther)
      this.#differs(
        `asked again, it returned ${String(found)}, and ${String(this.#answers.get(name))} before`,
      )
    const isWrong = typeof found === "number" && !isAgain && found !== after.state.epoch
    if (isWrong) this.#differs(`it returned epoch ${String(found)} of ${after.state.epoch}`)
    if (expected === false && found !== null)
      this.#differs(`it returned ${String(found)} for a window that was not in force`)
    if (this.#model.made.has(name)) this.#answers.set(name, found)
  }

  async #compare(): Promise<Snapshot> {
    const after = await snapshot(this.#client)
    const isWaiting = this.#lines.at(-1)?.startsWith("select story.pass") ?? false
    const found = difference(this.#model, after, isWaiting ? undefined : this.#before)
    if (found !== undefined) this.#differs(found)
    this.#before = after
    return after
  }

  /** The process of this name, which comes (again) if it is not there. */
  async processOf(name: string, isNew = false): Promise<Process> {
    const known = this.processes.get(name)
    if (known && !isNew) return known
    const watch = new Client({ connectionString: this.#url })
    await watch.connect()
    const process: Process = known ?? { watch, id: 0, entries: [] }
    this.processes.set(name, process)
    process.watch = watch
    const entries = process.entries.map(literal).join(", ")
    const text = `select maintenance.register('host', ${name === "a" ? 1 : 2}, '1', 1, array[${entries}]::text[])`
    this.#say(name, `${text};`)
    const { rows } = await watch.query<{ id: number }>(`${text} as id`)
    process.id = rows[0]?.id as number
    this.#model.comeBack(process.id, process.entries)
    await this.#compare()
    return process
  }

  /** Ends a process, as by SIGKILL. */
  async kill(name: string): Promise<void> {
    const process = this.processes.get(name)
    if (!process?.watch) return
    this.#say(name, "\\q")
    this.#session = outsider
    await process.watch.end()
    process.watch = undefined
    const isLive = "select maintenance.live() as id"
    while ((await this.#client.query<{ id: number }>(isLive)).rows.some(({ id }) => id === process.id))
      continue
    this.#model.live.delete(process.id)
    await this.#compare()
  }

  #say(session: string, text: string): void {
    if (session !== this.#session) this.#lines.push(`-- Session: ${session}`)
    this.#session = session
    this.#lines.push(text)
  }

  #differs(how: string): never {
    throw new Error(`${this.#lines.join("\n")}\n-- Here the rules and the database differ: ${how}`)
  }
}

function attempt(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return refusedAs(error)
  }
}

function refusedAs(error: unknown): Refusal {
  const { code } = error as { code?: string }
  if (!code?.startsWith("MM")) throw error
  return error instanceof Refusal ? error : new Refusal(code)
}
