import { Client } from "pg"
import { type Action, isEmergency } from "./actions"
import { difference } from "./difference"
import { Model } from "./model"
import { emptied, type Snapshot, snapshot } from "./snapshot"
import { type Actor, type Opening, Refusal } from "./window"

/** A call that can be made again: its text, and what the rules make of it. */
interface Call {
  readonly text: string
  readonly session: string
  readonly name: string | undefined
  readonly apply: (model: Model) => unknown
}

/** What a function of the schema answers. */
type Answer = string | number | boolean | null

/** A window that was opened by a call. */
interface Opened {
  readonly id: string
  readonly epoch: number
  readonly by: Actor
  readonly session: string
}

/** A process: its watch, its id as an instance, and its calls and tasks, which it names when it comes again. */
interface Process {
  watch: Client | undefined
  id: number
  readonly entries: string[]
}

const outsider = "outsider"
const tiedHours = 2

/** One story, told to the model and to the database; throws where they differ, with the script of all that was done. */
export class Story {
  readonly #url: string
  readonly #client: Client
  readonly #model = new Model()
  readonly #processes = new Map<string, Process>()
  readonly #opened: Opened[] = []
  readonly #tasks: { task: string; user: string; session: string }[] = []
  readonly #calls: Call[] = []
  readonly #epochs = new Map<string, Answer>()
  readonly #script: string[] = []
  #session = outsider
  #count = 0
  #before: Snapshot | undefined

  /** The client is of an outsider. */
  constructor(url: string, client: Client) {
    this.#url = url
    this.#client = client
  }

  /** Runs it; the database has no windows before, nor afterwards. */
  async tell(actions: readonly Action[]): Promise<void> {
    await this.#client.query(emptied)
    this.#before = await snapshot(this.#client)
    try {
      for (const action of actions) await this.#act(action)
    } finally {
      for (const { watch } of this.#processes.values()) await watch?.end()
      await this.#client.query(emptied)
    }
  }

  async #act(action: Action): Promise<void> {
    switch (action.kind) {
      case "enter":
      case "during":
        return this.#enter(action)
      case "end":
        return this.#withOpened(action.which, (opened) => this.#end(opened))
      case "abandon":
        return this.#withOpened(action.which, ({ id, epoch }) => {
          const actor = actorOf(action.user)
          const text = `maintenance.abandon(${epoch}, ${literal(id)}, ${sqlOf(actor)})`
          return this.#call(action.process, { text, apply: (model) => model.abandon(id, actor) })
        })
      case "interrupt":
        return this.#withOpened(action.which, ({ id, session }) => {
          const text = `maintenance.interrupt_entering(${literal(id)})`
          return this.#call(session, { text, apply: (model) => model.interrupt(id) })
        })
      case "finish": {
        const begun = this.#tasks.at(-1 - (action.which % Math.max(this.#tasks.length, 1)))
        if (!begun) return
        const { task, session } = begun
        const text = `maintenance.finish(${literal(task)})`
        return this.#call(session, { text, name: `end of ${task}`, apply: (model) => model.finish(task) })
      }
      case "again": {
        const call = this.#calls.at(-1 - (action.which % Math.max(this.#calls.length, 1)))
        return call && this.#run(call)
      }
      case "leave":
      case "extend":
      case "transfer":
        return this.#change(action)
      case "renew": {
        const lease = `lease of ${action.process}`
        const text = `maintenance.renew(${literal(lease)})`
        return this.#call(action.process, { text, apply: (model) => model.renew(lease) })
      }
      case "kill":
        return this.#kill(action.process)
      case "come back": {
        if (this.#processes.has(action.process)) await this.#kill(action.process)
        await this.#processOf(action.process, true)
        return
      }
      case "give up": {
        const id = this.#processes.get(action.process)?.id
        if (id === undefined) return
        const text = `maintenance.give_up(${id})`
        return this.#call(null, { text, apply: (model) => model.giveUp(id) })
      }
      case "pass": {
        const text = `story.pass(${action.hours})`
        const apply = (model: Model) => void (model.now += action.hours)
        return this.#call(null, { text, apply })
      }
      case "mend":
        await this.#call(null, { text: "maintenance.mend()", apply: () => undefined })
        // A call that is refused may have set one.
        if (!this.#before?.hasStamp) this.#differs("the state has not the stamp that transactions see")
    }
  }

  async #enter(action: Action & { kind: "enter" | "during" }): Promise<void> {
    const { kind, user, mode, reason, hours, tie } = action
    const id = `${kind} ${++this.#count}`
    const session = action.process ?? outsider
    const process = action.process === null ? undefined : await this.#processOf(action.process)
    const around = this.#tasks.filter((begun) => begun.user === user && begun.session === session)
    const within = action.within === null ? null : (around.at(-1 - action.within)?.task ?? null)
    const task = kind === "during" ? `task ${this.#count}` : within
    const isTied = tie === "tied" && process !== undefined
    const opening: Opening = {
      ...{ id, mode, ...actorOf(user), reason, task, within, hours, unties: tie === "untied" },
      lease: isTied ? `lease of ${session}` : null,
      grace: isTied ? tiedHours : null,
      instance: process?.id ?? null,
    }
    if (kind === "during") {
      this.#tasks.push({ task: task as string, user, session })
      process?.entries.push(task as string)
    }
    process?.entries.push(id)
    const text = `maintenance.start_entering('${JSON.stringify(requestOf(opening))}')`
    await this.#call(session, { text, name: id, apply: (model) => model.start(opening) })
    const epoch = this.#epochs.get(id)
    if (typeof epoch !== "number") return
    const opened = { id, epoch, by: actorOf(user), session }
    this.#opened.push(opened)
    if (action.then === "end") await this.#end(opened)
  }

  #end({ id, epoch, session }: Opened): Promise<void> {
    const text = `maintenance.end_entering(${epoch}, ${literal(id)})`
    return this.#call(session, { text, apply: (model) => model.end(id) })
  }

  async #change(action: Action & { kind: "leave" | "extend" | "transfer" }): Promise<void> {
    const { kind, user } = action
    const actor = actorOf(user)
    const name = `${kind} ${++this.#count}`
    if (kind === "leave" && action.isVoid) {
      const text = `maintenance.void(array[${literal(name)}])`
      await this.#call(null, { text, apply: (model) => model.made.add(name) })
    }
    const [values, apply] =
      kind === "leave"
        ? ["", (model: Model) => model.leave(actor, name)]
        : kind === "extend"
          ? [`${msOf(action.hours)}, `, (model: Model) => model.extend(actor, action.hours, name)]
          : [`${literal(action.to)}, `, (model: Model) => model.transfer(actor, action.to, name)]
    const text = `maintenance.${kind}(${sqlOf(actor)}, ${values}${literal(name)})`
    await this.#call(action.process, { text, name: kind === "extend" ? undefined : name, apply })
  }

  #withOpened(which: number, work: (opened: Opened) => Promise<void>): Promise<void> {
    const opened = this.#opened.at(-1 - (which % Math.max(this.#opened.length, 1)))
    return opened ? work(opened) : Promise.resolve()
  }

  async #call(
    session: string | null,
    call: Omit<Call, "session" | "name"> & { name?: string | undefined },
  ): Promise<void> {
    const made = { name: undefined, ...call, session: session ?? outsider }
    if (made.name !== undefined) this.#calls.push(made)
    await this.#run(made)
  }

  /** Has a call made by the database and by the model, and compares what becomes of it. */
  async #run({ text, session, name, apply }: Call): Promise<void> {
    const client = this.#processes.get(session)?.watch ?? this.#client
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
    const isOther = isAgain && this.#epochs.get(name) !== undefined && found !== this.#epochs.get(name)
    if (isOther)
      this.#differs(`asked again, it returned ${String(found)}, and ${String(this.#epochs.get(name))} before`)
    const isWrong = typeof found === "number" && !isAgain && found !== after.state.epoch
    if (isWrong) this.#differs(`it returned epoch ${String(found)} of ${after.state.epoch}`)
    if (expected === false && found !== null)
      this.#differs(`it returned ${String(found)} for a window that was not in force`)
    this.#epochs.set(name, found)
  }

  async #compare(): Promise<Snapshot> {
    const after = await snapshot(this.#client)
    const isWaiting = this.#script.at(-1)?.startsWith("select story.pass") ?? false
    const found = difference(this.#model, after, isWaiting ? undefined : this.#before)
    if (found !== undefined) this.#differs(found)
    this.#before = after
    return after
  }

  async #processOf(name: string, isNew = false): Promise<Process> {
    const known = this.#processes.get(name)
    if (known && !isNew) return known
    const watch = new Client({ connectionString: this.#url })
    await watch.connect()
    const process: Process = known ?? { watch, id: 0, entries: [] }
    this.#processes.set(name, process)
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

  async #kill(name: string): Promise<void> {
    const process = this.#processes.get(name)
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
    if (session !== this.#session) this.#script.push(`-- Session: ${session}`)
    this.#session = session
    this.#script.push(text)
  }

  #differs(how: string): never {
    throw new Error(`${this.#script.join("\n")}\n-- Here the rules and the database differ: ${how}`)
  }
}

const actorOf = (user: string): Actor => ({ user, isEmergency: isEmergency(user) })
const literal = (text: string) => `'${text}'`
const sqlOf = ({ user, isEmergency: isOne }: Actor) => `${literal(user)}, ${isOne}`
const msOf = (hours: number | null) => (hours === null ? null : hours * 3_600_000)

function requestOf({ user, isEmergency: isOne, within, hours, grace, ...opening }: Opening): object {
  return Object.fromEntries(
    Object.entries({
      ...opening,
      acting_user: user,
      is_emergency: isOne,
      within_task: within,
      expires_in_ms: msOf(hours),
      grace_ms: msOf(grace),
      within_ms: 1000,
    }).filter(([, value]) => value !== null),
  )
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
