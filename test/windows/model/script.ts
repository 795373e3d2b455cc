import { Client } from "pg"
import { difference } from "./difference"
import { Model } from "./model"
import { emptied, type Snapshot, snapshot } from "./snapshot"
import { literal } from "./texts"
import { Refusal } from "./refusals"

/** A call that can be repeated: its text, and its effect on the model. */
export interface Call {
  readonly text: string
  readonly session: string
  readonly name: string | undefined
  readonly apply: (model: Model) => unknown
}

/** The result of a function of the schema. */
type Answer = string | number | boolean | null

/**
 * A process: its watch, its id as an instance, and the calls and tasks that it names when it registers again.
 */
export interface Process {
  watch: Client | undefined
  id: number
  readonly entries: string[]
}

/** The session of an outsider, who calls by hand. */
export const outsider = "outsider"

/** Applies calls to the database and the model. Throws if they differ, with the script of everything done. */
export class Script {
  readonly processes = new Map<string, Process>()
  /** The calls with a name, so that they can be repeated. */
  readonly calls: Call[] = []
  readonly #url: string
  readonly #client: Client
  readonly #model = new Model()
  readonly #answers = new Map<string, Answer>()
  readonly #lines: string[] = []
  #session = outsider
  #before: Snapshot | undefined

  /** `client` is an outsider's connection. */
  constructor(url: string, client: Client) {
    this.#url = url
    this.#client = client
  }

  /** Runs a story. The database has no windows before it and afterwards. */
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

  /** The epoch that the call of this name last returned, or undefined. */
  epochOf(name: string): number | undefined {
    const answer = this.#answers.get(name)
    return typeof answer === "number" ? answer : undefined
  }

  /** Lets time pass. */
  pass(hours: number): Promise<void> {
    const apply = (model: Model) => void (model.now += hours)
    return this.call(null, { text: `story.pass(${hours})`, apply })
  }

  /** Throws if the stamp of the state is not the one that transactions see. */
  checkStamp(): void {
    // A refused call may have set one.
    if (!this.#before?.hasStamp) this.#differs("the state has not the stamp that transactions see")
  }

  /** Makes a call, in the session of a process. Null: an outsider. */
  async call(
    session: string | null,
    call: Omit<Call, "session" | "name"> & { name?: string | undefined },
  ): Promise<void> {
    const made = { name: undefined, ...call, session: session ?? outsider }
    if (made.name !== undefined) this.calls.push(made)
    await this.make(made)
  }

  /** Makes a call in the database and the model, and compares the results. */
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

  /** The process of this name. It is started if it is missing, or if `isNew` is set. */
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

  /** Ends a process, as SIGKILL does. */
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
