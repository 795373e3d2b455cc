import type { Action } from "./actions"
import { announcementOf } from "./announcements"
import type { Model } from "./model"
import type { Asked, Openings } from "./openings"
import { outsider, type Script } from "./script"
import { actorOf, literal, requestOf, sqlOf } from "./texts"

/** The part of a story that concerns announcements. */
export class Announcing {
  readonly #script: Script
  readonly #openings: Openings
  readonly #announced: Asked[] = []

  constructor(script: Script, openings: Openings) {
    this.#script = script
    this.#openings = openings
  }

  async announce(action: Action & { kind: "announce" }, count: number): Promise<void> {
    const asked = await this.#openings.asked(action, action.as, count)
    const { startsIn } = action
    const announcing = { ...asked.opening, startsIn }
    const { id } = asked.opening
    if (action.isVoid) await this.void(id)
    this.#announced.push(asked)
    const request = requestOf(asked.opening)
    const startsAt = `jsonb_build_object('starts_at_ms', story.ms(${startsIn}))`
    const text = `maintenance.announce(${request}::jsonb || ${startsAt}) is not null`
    const apply = (model: Model) => model.announcements.announce(announcing)
    await this.#script.call(asked.session, { text, name: announcementOf(id), apply })
  }

  /** Begins a window, either by its own process, as the waiting call does, or by any other. */
  async begin(action: Action & { kind: "begin" }, count: number): Promise<void> {
    const asked = this.#which(action.which)
    if (!asked) return
    const { opening, session } = asked
    if (action.passes > 0) await this.#script.pass(action.passes)
    if (action.process === session) {
      const { instance } = await this.#begins(session, opening.id)
      return this.#openings.open(
        { opening: { ...opening, instance, isAnnounced: true }, session },
        action.then,
      )
    }
    const { id } = opening
    const name = `begin ${count}`
    const { instance } = await this.#begins(action.process, id)
    const text = `maintenance.begin_announced('${JSON.stringify({ id, name, instance })}') -> 'epoch'`
    const apply = (model: Model) => model.announcements.begin(id, name, instance)
    await this.#script.call(action.process, { text, name, apply })
    await this.#openings.add(id, name, action.process ?? outsider, action.then)
  }

  async cancel(action: Action & { kind: "cancel" }, count: number): Promise<void> {
    const id = this.#which(action.which)?.opening.id ?? "unknown"
    const name = `cancel ${count}`
    const actor = actorOf(action.user)
    const text = `maintenance.cancel(${literal(id)}, ${sqlOf(actor)}, ${literal(name)})`
    const apply = (model: Model) => model.announcements.cancel(id, actor, name)
    await this.#script.call(action.process, { text, name, apply })
  }

  async takeBack(action: Action & { kind: "take back" }, count: number): Promise<void> {
    const name = `taking back ${count}`
    const actor = actorOf(action.user)
    const text = `nullif(maintenance.cancel_announced(${sqlOf(actor)}, ${literal(name)}), false)`
    const apply = (model: Model) => model.announcements.takeBack(actor, name)
    await this.#script.call(action.process, { text, name, apply })
  }

  async lapse({ which, because }: Action & { kind: "lapse" }): Promise<void> {
    const asked = this.#which(which)
    if (!asked) return
    const { id } = asked.opening
    const text = `maintenance.lapse(array[${literal(id)}], ${literal(because)})`
    const apply = (model: Model) => model.announcements.lapse(id, because)
    await this.#script.call(asked.session, { text, apply })
  }

  /** Voids a call, counted from the last one. */
  async voidCall(which: number): Promise<void> {
    const { calls } = this.#script
    const name = calls.at(-1 - (which % Math.max(calls.length, 1)))?.name
    // The end of a task is never voided.
    if (name === undefined || name.startsWith("end of")) return
    await this.void(name.replace(announcementOf(""), ""))
  }

  async void(name: string): Promise<void> {
    const text = `maintenance.void(array[${literal(name)}])`
    await this.#script.call(null, { text, apply: (model) => model.announcements.void(name) })
  }

  /** Records that a process begins a window, so that it names the window when it registers again. */
  async #begins(name: string | null, id: string): Promise<{ instance: number | null }> {
    if (name === null || name === outsider) return { instance: null }
    const process = await this.#script.processOf(name)
    process.entries.push(id)
    return { instance: process.id }
  }

  #which(which: number): Asked | undefined {
    return this.#announced.at(-1 - (which % Math.max(this.#announced.length, 1)))
  }
}
