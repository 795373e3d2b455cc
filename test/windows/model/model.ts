import { Announcements } from "./announcements"
import { isGone, isWaitedFor } from "./presence"
import { busy, lost, normal, Refusal, stranger } from "./refusals"
import { plannedOf, termsOf } from "./terms"
import { type Actor, endingOf, type Opening, replacedBy, type Window } from "./window"

/** The rules of the windows: the effect of each call, and its refusals. A refused call changes nothing. */
export class Model {
  now = 0
  /** The instances whose watch is connected. */
  readonly live = new Set<number>()
  /** The ends of past windows. */
  readonly over = new Map<string, string>()
  /** The names of changes that are not made again. */
  readonly made = new Set<string>()
  readonly announcements = new Announcements(this)
  /** The change that put the current window in force, if it has a name. */
  #last: string | null = null
  #stack: Window[] = []
  /** The tasks that have had a window. */
  readonly #tasks = new Set<string>()

  /** The windows on top of one another. The last is in force. */
  windows(): Window[] {
    const isOver = ({ expires }: Window) => expires !== null && expires <= this.now
    for (const { id, lease, expires, latest } of this.#stack.filter(isOver)) {
      const isLost = lease !== null && (latest === null || (expires as number) < latest)
      this.over.set(id, isLost ? "lost" : "expired")
    }
    if (this.#stack.slice(-1).some(isOver)) this.#last = null
    return (this.#stack = this.#stack.filter((window) => !isOver(window)))
  }

  inForce(): Window | undefined {
    return this.windows().at(-1)
  }

  /** Whether a window is in force that was last changed by the change of this name. */
  stands(name: string): boolean {
    return this.inForce() !== undefined && this.#last === name
  }

  isAdmitted({ user, isEmergency }: Actor, window = this.inForce()): boolean {
    return window === undefined || isEmergency || window.maintainer === user
  }

  start(opening: Opening): void {
    const { id, user, task, within, isAnnounced } = opening
    const isNewTask = task !== within
    if (this.made.has(id)) return
    if (isNewTask && this.made.has(endOf(task))) throw new Refusal(lost)
    const asked = isAnnounced ? this.announcements.due(opening) : opening
    const stack = this.windows()
    const goneOf = (windows: Window[]) =>
      windows.slice(1 + windows.findLastIndex((window) => !isGone(window, asked, this.live)))
    const gone = goneOf(stack)
    const rest = stack.slice(0, stack.length - gone.length)
    const covered = rest.at(-1)
    // A window that is entering yields to another one. Then the task below it continues.
    const isYielding = covered !== undefined && isWaitedFor(covered, this.live)
    if (isYielding && isNewTask) gone.push(...goneOf(rest.slice(0, -1)))
    const under = isYielding ? rest.slice(0, -1).findLast((window) => !gone.includes(window)) : undefined
    const isOtherTask = (window: Window | undefined) =>
      window?.maintainer === user && window.task !== null && window.task !== within
    if (covered && !this.isAdmitted(asked, covered)) throw new Refusal(stranger)
    if (isNewTask && (isOtherTask(covered) || isOtherTask(under))) throw new Refusal(busy)

    const left = stack.filter((window) => !gone.includes(window) && !(isYielding && window === covered))
    // A task lies over all windows, and so does a window entered within a task whose windows are over. A
    // window entered within a task that stands replaces that task's windows and those above them. Any other
    // window replaces all.
    const isOfTask = within !== null && !this.made.has(endOf(within)) && this.#tasks.has(within)
    const first = left.findIndex((window) => within !== null && window.task === within)
    const replaced = isNewTask || (isOfTask && first < 0) ? [] : left.slice(Math.max(first, 0))
    const base =
      isNewTask || within === null ? covered : (left.findLast((w) => w.task === within) ?? left.at(-1))
    const own = base?.maintainer === user ? base : undefined
    // An announced window, unless it is for a task, has its own facts alone.
    const kept = isAnnounced && task === null ? undefined : own
    const terms = termsOf(asked, { now: this.now, isNewTask, own: kept })
    const plan = plannedOf(asked, { now: this.now, own: kept, terms })

    this.announcements.begun(id)
    for (const window of gone) {
      this.#close([window], "lost", user)
      this.made.add(endOf(window.task))
    }
    if (isYielding) this.#close([covered], replacedBy({ maintainer: user }, covered), user)
    else if (covered?.isEntering) covered.isAwaited = false
    this.#push({
      ...{ id, mode: asked.mode, maintainer: user },
      reason: asked.reason ?? kept?.reason ?? null,
      task: isNewTask || isOfTask ? task : null,
      since: own?.since ?? this.now,
      replaces: replaced.map((window) => window.id),
      ...{ isEntering: true, instance: asked.instance, isAwaited: true, isGivenUp: false },
      ...{ ...terms, planned: plan },
    })
    this.made.add(id)
  }

  end(id: string): void {
    const window = this.windows().find((one) => one.id === id)
    if (window && !window.isEntering) return
    if (!window || !this.stands(id)) throw new Refusal(lost)
    window.isEntering = false
    for (const one of this.windows().filter((other) => window.replaces.includes(other.id)))
      this.#close([one], replacedBy(window, one), window.maintainer)
  }

  abandon(id: string, actor: Actor): void {
    const window = this.inForce()
    if (!window?.isEntering || !this.stands(id)) throw new Refusal(lost)
    if (!this.isAdmitted(actor)) throw new Refusal(stranger)
    this.#close([window], "abandoned", actor.user)
    this.#last = null
  }

  interrupt(id: string): void {
    for (const window of this.windows()) if (window.id === id) window.isAwaited = false
  }

  /** Returns whether a window of the task was in force, or undefined for a repeated call. */
  finish(task: string): boolean | undefined {
    if (this.made.has(endOf(task))) return undefined
    const last = this.inForce()
    const isInForce = last?.task === task
    // A window under another one has been replaced by it, and is not restored.
    for (const window of this.windows().filter((one) => one.task === task))
      this.#close([window], isInForce ? "left" : replacedBy(last, window), last?.maintainer ?? null)
    this.made.add(endOf(task))
    if (isInForce) this.#last = endOf(task)
    return isInForce
  }

  leave(actor: Actor, name: string): void {
    if (this.made.has(name)) return
    this.#own(actor)
    this.#close(this.windows(), "left", actor.user)
    this.made.add(name)
  }

  extend(actor: Actor, hours: number | null, name: string): void {
    if (this.made.has(name)) return
    const { terms } = this.#own(actor)
    const expires = hours === null ? null : this.now + hours
    for (const window of this.windows())
      if (window.terms === terms) {
        const planned = window.planned && Math.min(window.planned, expires ?? Infinity)
        Object.assign(window, { expires, latest: expires, lease: null, grace: null, planned })
      }
    this.made.add(name)
  }

  transfer(actor: Actor, to: string, name: string): void {
    if (this.made.has(name)) return
    const handed = this.#own(actor)
    const expires = handed.lease === null ? handed.expires : handed.latest
    this.#close(this.windows(), "handed over", actor.user)
    const free = { task: null, instance: null, isAwaited: false, isGivenUp: false, replaces: [] }
    const terms = { terms: name, expires, latest: expires, lease: null, grace: null }
    this.#push({ ...handed, ...free, ...terms, id: name, maintainer: to })
    this.made.add(name)
  }

  renew(lease: string): void {
    for (const window of this.windows())
      if (window.lease === lease)
        window.expires = Math.min(window.latest ?? Infinity, this.now + (window.grace as number))
  }

  /** Registers an instance again under another id, with the calls and tasks that belong to it. */
  comeBack(instance: number, entries: readonly string[]): void {
    this.live.add(instance)
    this.announcements.comeBack(instance, entries)
    for (const window of this.windows())
      if (entries.includes(window.id) || (window.task !== null && entries.includes(window.task)))
        window.instance = instance
  }

  giveUp(instance: number): void {
    for (const window of this.windows())
      if (window.instance === instance && window.task !== null && !this.live.has(instance))
        window.isGivenUp = true
  }

  #push(window: Window): void {
    this.#stack.push(window)
    if (window.task !== null) this.#tasks.add(window.task)
    this.#last = window.id
  }

  #close(windows: readonly Window[], because: string, by: string | null): void {
    for (const { id } of windows) this.over.set(id, endingOf(because, by))
    this.#stack = this.#stack.filter((window) => !windows.includes(window))
  }

  #own(actor: Actor): Window {
    const window = this.inForce()
    if (!window) throw new Refusal(normal)
    if (!this.isAdmitted(actor)) throw new Refusal(stranger)
    return window
  }
}

const endOf = (task: string | null): string => `end of ${task}`
