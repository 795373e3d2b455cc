import type { Opens } from "./actions"
import { outsider, type Script } from "./script"
import { actorOf, literal, requestOf } from "./texts"
import type { Opening } from "./window"

/** A window opened by a call, in the session of a process. */
export interface Opened {
  readonly id: string
  readonly epoch: number
  readonly session: string
}

/** A window to open, and the session of its call. */
export interface Asked {
  readonly opening: Opening
  readonly session: string
}

/** Grace time of windows that are tied to a process, in hours. */
const tiedHours = 2

/** Opens the windows of a story, and records them in order. */
export class Openings {
  readonly opened: Opened[] = []
  readonly tasks: { task: string; user: string; session: string }[] = []
  readonly #script: Script

  constructor(script: Script) {
    this.#script = script
  }

  /** The window that an action asks for. `count` numbers the openings of the story. */
  async asked(action: Opens, as: "enter" | "during", count: number): Promise<Asked> {
    const { user, mode, reason, hours, planned, tie } = action
    const id = `${as} ${count}`
    const session = action.process ?? outsider
    const process = action.process === null ? undefined : await this.#script.processOf(action.process)
    const around = this.tasks.filter((begun) => begun.user === user && begun.session === session)
    const within = action.within === null ? null : (around.at(-1 - action.within)?.task ?? null)
    const task = as === "during" ? `task ${count}` : within
    const isTied = tie === "tied" && process !== undefined
    const opening: Opening = {
      ...{ id, mode, ...actorOf(user), reason, task, within, hours, planned, unties: tie === "untied" },
      lease: isTied ? `lease of ${session}` : null,
      grace: isTied ? tiedHours : null,
      instance: process?.id ?? null,
    }
    process?.entries.push(id, ...(as === "during" ? [task as string] : []))
    return { opening, session }
  }

  /** Opens a window. `then` says whether the entering ends at once. */
  async open({ opening, session }: Asked, then: "end" | "wait"): Promise<void> {
    const { id, user, task, within } = opening
    if (task !== null && task !== within) this.tasks.push({ task, user, session })
    const text = `maintenance.start_entering(${requestOf(opening)})`
    await this.#script.call(session, { text, name: id, apply: (model) => model.start(opening) })
    await this.add(id, id, session, then)
  }

  /** Continues with a window, if the change of this name has begun it. */
  async add(id: string, change: string, session: string, then: "end" | "wait"): Promise<void> {
    const epoch = this.#script.epochOf(change)
    if (epoch === undefined) return
    const opened = { id, epoch, session }
    this.opened.push(opened)
    if (then === "end") await this.end(opened)
  }

  /** Ends the entering of a window. */
  end({ id, epoch, session }: Opened): Promise<void> {
    const text = `maintenance.end_entering(${epoch}, ${literal(id)})`
    return this.#script.call(session, { text, apply: (model) => model.end(id) })
  }
}
