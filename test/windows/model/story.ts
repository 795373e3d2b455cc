import type { Client } from "pg"
import type { Action } from "./actions"
import { Announcing } from "./announcing"
import type { Model } from "./model"
import { type Opened, Openings } from "./openings"
import { Script } from "./script"
import { actorOf, literal, msOf, sqlOf } from "./texts"

/**
 * One story, applied to the model and the database. Throws if they differ, with the script of everything
 * done.
 */
export class Story {
  readonly #script: Script
  readonly #openings: Openings
  readonly #announcing: Announcing
  #count = 0

  /** `client` is an outsider's connection. */
  constructor(url: string, client: Client) {
    this.#script = new Script(url, client)
    this.#openings = new Openings(this.#script)
    this.#announcing = new Announcing(this.#script, this.#openings)
  }

  /** Runs the story. The database has no windows before it and afterwards. */
  async tell(actions: readonly Action[]): Promise<void> {
    await this.#script.run(async () => {
      for (const action of actions) await this.#act(action)
    })
  }

  async #act(action: Action): Promise<void> {
    switch (action.kind) {
      case "enter":
      case "during":
        return this.#openings.open(
          await this.#openings.asked(action, action.kind, ++this.#count),
          action.then,
        )
      case "announce":
        return this.#announcing.announce(action, ++this.#count)
      case "begin":
        return this.#announcing.begin(action, ++this.#count)
      case "cancel":
        return this.#announcing.cancel(action, ++this.#count)
      case "take back":
        return this.#announcing.takeBack(action, ++this.#count)
      case "lapse":
        return this.#announcing.lapse(action)
      case "void":
        return this.#announcing.voidCall(action.which)
      case "end":
        return this.#withOpened(action.which, (opened) => this.#openings.end(opened))
      case "abandon":
        return this.#withOpened(action.which, ({ id, epoch }) => {
          const actor = actorOf(action.user)
          const text = `maintenance.abandon(${epoch}, ${literal(id)}, ${sqlOf(actor)})`
          return this.#script.call(action.process, { text, apply: (model) => model.abandon(id, actor) })
        })
      case "interrupt":
        return this.#withOpened(action.which, ({ id, session }) => {
          const text = `maintenance.interrupt_entering(${literal(id)})`
          return this.#script.call(session, { text, apply: (model) => model.interrupt(id) })
        })
      case "finish": {
        const { tasks } = this.#openings
        const begun = tasks.at(-1 - (action.which % Math.max(tasks.length, 1)))
        if (!begun) return
        const { task, session } = begun
        const text = `maintenance.finish(${literal(task)})`
        return this.#script.call(session, {
          text,
          name: `end of ${task}`,
          apply: (model) => model.finish(task),
        })
      }
      case "again": {
        const { calls } = this.#script
        const call = calls.at(-1 - (action.which % Math.max(calls.length, 1)))
        return call && this.#script.make(call)
      }
      case "leave":
      case "extend":
      case "transfer":
        return this.#change(action)
      case "renew": {
        const lease = `lease of ${action.process}`
        const text = `maintenance.renew(${literal(lease)})`
        return this.#script.call(action.process, { text, apply: (model) => model.renew(lease) })
      }
      case "kill":
        return this.#script.kill(action.process)
      case "come back": {
        if (this.#script.processes.has(action.process)) await this.#script.kill(action.process)
        await this.#script.processOf(action.process, true)
        return
      }
      case "give up": {
        const id = this.#script.processes.get(action.process)?.id
        if (id === undefined) return
        const text = `maintenance.give_up(${id})`
        return this.#script.call(null, { text, apply: (model) => model.giveUp(id) })
      }
      case "pass":
        return this.#script.pass(action.hours)
      case "mend":
        await this.#script.call(null, { text: "maintenance.mend()", apply: () => undefined })
        this.#script.checkStamp()
    }
  }

  async #change(action: Action & { kind: "leave" | "extend" | "transfer" }): Promise<void> {
    const { kind, user } = action
    const actor = actorOf(user)
    const name = `${kind} ${++this.#count}`
    if (kind === "leave" && action.isVoid) await this.#announcing.void(name)
    const [values, apply] =
      kind === "leave"
        ? ["", (model: Model) => model.leave(actor, name)]
        : kind === "extend"
          ? [`${msOf(action.hours)}, `, (model: Model) => model.extend(actor, action.hours, name)]
          : [`${literal(action.to)}, `, (model: Model) => model.transfer(actor, action.to, name)]
    const text = `maintenance.${kind}(${sqlOf(actor)}, ${values}${literal(name)})`
    await this.#script.call(action.process, { text, name: kind === "extend" ? undefined : name, apply })
  }

  #withOpened(which: number, work: (opened: Opened) => Promise<void>): Promise<void> {
    const { opened: all } = this.#openings
    const opened = all.at(-1 - (which % Math.max(all.length, 1)))
    return opened ? work(opened) : Promise.resolve()
  }
}
