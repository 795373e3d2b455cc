import type { Model } from "./model"
import { announcedByOther, lost, notAnnounced, Refusal, stranger, untimely } from "./refusals"
import { type Actor, type Announcing, endingOf, type Opening } from "./window"

const yearInHours = 365 * 24

/** An announced window. Times are in hours since the beginning. */
export interface Announced {
  readonly asked: Opening
  readonly starts: number
  readonly expires: number | null
  /** Its expected end, according to the maintainer. */
  readonly ends: number
  instance: number | null
}

/** The rules of announcements. */
export class Announcements {
  readonly #model: Model
  readonly #known = new Set<string>()
  #announced: Announced[] = []

  constructor(model: Model) {
    this.#model = model
  }

  /** The announced windows, the next one first. */
  windows(): Announced[] {
    return this.#announced.toSorted((one, other) => one.starts - other.starts)
  }

  announce(asked: Announcing): void {
    const { id, user, startsIn, hours, planned, instance } = asked
    const { now, made } = this.#model
    if (this.#known.has(id)) return
    if (made.has(id)) throw new Refusal(lost)
    if (!this.#model.isAdmitted(asked)) throw new Refusal(stranger)
    if (startsIn <= 0 || startsIn > yearInHours) throw new Refusal(untimely)
    const starts = now + startsIn
    const expires = hours === null ? null : starts + hours
    const ends = starts + (hours ?? planned ?? Infinity)
    const overlapping = this.#announced.filter((one) => one.starts < ends && starts < one.ends)
    if (overlapping.some((one) => !isOf(one, asked) && !this.#isForsaken(one)))
      throw new Refusal(announcedByOther)

    for (const one of overlapping)
      this.#close([one], one.asked.user === user ? "switched" : "taken over", user)
    this.#announced.push({ asked, starts, expires, ends, instance })
    this.#known.add(id)
    made.add(announcementOf(id))
  }

  /** Begins a window in its maintainer's name, for an instance. Only its own process begins a task. */
  begin(id: string, name: string, instance: number | null): void {
    const { now, made } = this.#model
    const one = this.#find(id)
    if (made.has(name) || !one || one.starts > now) return
    let isMissed = one.expires !== null && one.expires <= now
    // It waits for the end of a running task of its user.
    const standing = this.#model.inForce()
    const isTaskOfUser = standing?.maintainer === one.asked.user && standing.task !== null
    if (!isMissed && isTaskOfUser && !standing.isGivenUp && !this.#isGone(standing)) return
    if (one.asked.task !== null) isMissed ||= one.starts < now && (one.instance === null || this.#isGone(one))
    else if (!isMissed) isMissed = !this.#isStarted({ ...one.asked, instance, isAnnounced: true })
    if (isMissed) this.#close([one], "missed", null)
    if (isMissed || one.asked.task === null) made.add(name)
  }

  /** The window to open now, as it was announced. A late start does not move its end. */
  due(asked: Opening): Opening {
    const one = this.#find(asked.id)
    const { now } = this.#model
    if (!one || (one.expires !== null && one.expires <= now)) throw new Refusal(lost)
    const hours = one.expires === null ? asked.hours : one.expires - now
    return { ...asked, hours, planned: asked.planned && one.starts + asked.planned - now }
  }

  /** Records that a window has begun. */
  begun(id: string): void {
    this.#announced = this.#announced.filter(({ asked }) => asked.id !== id)
  }

  cancel(id: string, actor: Actor, name: string): void {
    if (this.#model.made.has(name)) return
    const one = this.#find(id)
    if (!one) throw new Refusal(notAnnounced)
    if (!isOf(one, actor)) throw new Refusal(announcedByOther)
    this.#close([one], "cancelled", actor.user)
    this.#model.made.add(name)
  }

  /** Takes back all of the user's announcements. An emergency user without any takes back all. */
  takeBack(actor: Actor, name: string): void {
    if (this.#model.made.has(name)) return
    const own = this.#announced.filter(({ asked }) => asked.user === actor.user)
    const takenBack = own.length === 0 && actor.isEmergency ? this.#announced : own
    if (takenBack.length === 0 && this.#announced.length > 0) throw new Refusal(announcedByOther)
    if (takenBack.length > 0) this.#model.made.add(name)
    this.#close(takenBack, "cancelled", actor.user)
  }

  lapse(id: string, because: "cancelled" | "missed"): void {
    const one = this.#find(id)
    if (one) this.#close([one], because, because === "cancelled" ? one.asked.user : null)
  }

  /** Voids a call: its announcement is taken back, and the call has no effect if it arrives later. */
  void(name: string): void {
    this.#model.made.add(name)
    this.lapse(name, "cancelled")
  }

  comeBack(instance: number, entries: readonly string[]): void {
    for (const one of this.#announced) if (entries.includes(one.asked.id)) one.instance = instance
  }

  #find(id: string): Announced | undefined {
    return this.#announced.find(({ asked }) => asked.id === id)
  }

  #isStarted(asked: Opening): boolean {
    try {
      this.#model.start(asked)
      return true
    } catch (error) {
      if (error instanceof Refusal && error.code === stranger) return false
      throw error
    }
  }

  #isGone({ instance }: Pick<Announced, "instance">): boolean {
    return instance !== null && !this.#model.live.has(instance)
  }

  /** Whether the window will never begin, because the process of its task is gone. */
  #isForsaken(one: Announced): boolean {
    return one.asked.task !== null && this.#isGone(one)
  }

  #close(windows: readonly Announced[], because: string, by: string | null): void {
    for (const { asked } of windows) this.#model.over.set(asked.id, endingOf(because, by))
    this.#announced = this.#announced.filter((one) => !windows.includes(one))
  }
}

/** The name of the change that announces a window. */
export const announcementOf = (id: string): string => `announcement of ${id}`

const isOf = ({ asked }: Announced, { user, isEmergency }: Actor): boolean =>
  isEmergency || asked.user === user
