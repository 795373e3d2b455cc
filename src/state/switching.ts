import { randomUUID } from "node:crypto"
import { NotMaintainerError, WindowEndedError } from "../errors"
import { knownUser } from "../identity/current-actor"
import type { EndedBecause } from "../mode/ending"
import type { Actor } from "../mode/actor"
import { mayHaveRun } from "./control-connection"
import { isDestroyed } from "./destroyed"
import { awaitingTask } from "./interrupted-task"
import { stateLocked } from "./locked"
import { isNothingToChange, notChanged, notTakenBack, perhapsChanged } from "./not-changed"
import {
  type AnnouncedRequest,
  type Announcement,
  type Beginning,
  type Opened,
  type Opening,
  requestOf,
  type Start,
} from "./opening"
import { briefMs, isFinal, outageMs, type Persistence, persistently } from "./persistence"
import { isLocked } from "./sqlstate"
import { standbyAwaited } from "./standby"
import type { StateFunctions } from "./state-functions"

/**
 * Changes the mode in the database. Each change is made once, also where the connection is lost and it has to be asked again; it
 * is given up when the database cannot be reached for a while.
 */
export class Switching {
  readonly #functions: StateFunctions
  /** The names of changes that were given up, and may still be on their way to the server. */
  readonly #doubtful = new Set<string>()

  constructor(functions: StateFunctions) {
    this.#functions = functions
  }

  /**
   * Commits the new mode. It holds for every fence from now on, but transactions that have passed theirs
   * still commit: it is being entered until `end`, or `abandon`. `isAnnounced` if `announce` was called for it. A task of the same
   * user whose process does not come back is taken over. Throws OutcomeUnknownError if it cannot be told whether that was done.
   */
  async start(opening: Opening, isAnnounced: boolean, signal?: AbortSignal): Promise<Opened> {
    const { id } = opening
    const request = { ...requestOf(opening), is_announced: isAnnounced }
    const begin = () =>
      this.#change(id, () => this.#functions.value<number>("start_entering", [request]), { signal })
    const epoch = await awaitingTask(begin, { giveUp: (gone) => this.#giveUp(gone), signal })
    return { epoch, id }
  }

  /** Says that the tasks of an instance that is gone will not come back. */
  async #giveUp(instance: number): Promise<void> {
    await this.#change(undefined, () => this.#functions.rows("give_up", [instance]))
  }

  /** Says that nothing is left to wait for; throws WindowEndedError if the window is gone. */
  async end({ epoch, id }: Opened, signal?: AbortSignal): Promise<void> {
    const whyWaiting = () => this.#standbyAwaited()
    await persistently(() => this.#functions.rows("end_entering", [epoch, id]), { signal, whyWaiting })
  }

  /** Says that nobody waits any more, and the window stands. */
  async interrupt({ id }: Opened): Promise<void> {
    await this.#functions.rows("interrupt_entering", [id])
  }

  /** Puts back what there was before the window that is being entered. */
  async abandon({ epoch, id }: Opened, actor: Actor): Promise<void> {
    const values = [epoch, id, knownUser(actor), actor.isEmergency]
    await this.#change(undefined, async (isAgain) => {
      await this.#functions.rows("abandon", values).catch(unless(isAgain, isRefused))
    })
  }

  /**
   * The backends that have passed a fence before this epoch, and have not ended; 0 for prepared transactions. Throws WindowEndedError if
   * the window is gone.
   */
  async waitedFor({ epoch, id }: Opened, signal?: AbortSignal): Promise<number[]> {
    const look = () => this.#functions.rows<{ waited_for: number }>("waited_for", [epoch, id])
    const rows = await persistently(look, { signal, isAbandonable: true })
    return rows.map(({ waited_for: pid }) => pid)
  }

  /** Ends the window of a task: puts back the state before it, and returns that; undefined if the window had been ended or taken over. */
  async finish(task: string): Promise<Opened | undefined> {
    const finish = () => this.#functions.value<number | null>("finish", [task])
    const epoch = await this.#change(undefined, finish, { withinMs: outageMs })
    return epoch === null ? undefined : { epoch, id: `end of ${task}` }
  }

  /** Ends the window, or, unless `windowOnly`, takes back what the actor has announced. */
  async leave(actor: Actor, { windowOnly = false } = {}): Promise<void> {
    const name = randomUUID()
    const values = [knownUser(actor), actor.isEmergency, name]
    await this.#change(name, async () => {
      await this.#functions.rows("leave", values).catch(async (error: unknown) => {
        const isNothing = isNothingToChange(error)
        if (windowOnly || (!isNothing && !(error instanceof NotMaintainerError))) throw error
        const isTakenBack = await this.#takeBack(values).catch((refusal: unknown) => {
          if (!(refusal instanceof NotMaintainerError)) throw refusal
          throw isNothing ? notTakenBack(refusal) : error
        })
        if (!isTakenBack) throw error
      })
    })
  }

  /** Has the window end by itself so much later than now, or (undefined) not at all. */
  async extend(actor: Actor, expiresInMs: number | undefined): Promise<void> {
    const name = randomUUID()
    const values = [knownUser(actor), actor.isEmergency, expiresInMs, name]
    await this.#change(name, () => this.#functions.rows("extend", values))
  }

  /** Hands the window to another maintainer. */
  async transfer(actor: Actor, to: string): Promise<Opened> {
    const id = randomUUID()
    const values = [knownUser(actor), actor.isEmergency, to, id]
    const epoch = await this.#change(id, () => this.#functions.value<number>("transfer", values))
    return { epoch, id }
  }

  /**
   * Puts off the end of the windows that are tied to a process, before anything else that waits; returns whether there can be one
   * still.
   */
  renew(lease: string): Promise<boolean> {
    return this.#functions.value("renew", [lease], "first")
  }

  /** Says that a window will begin; `drain` is for whoever begins it. Returns when. */
  async announce(opening: Opening, start: Start, drain: object): Promise<Date> {
    const time = "at" in start ? { starts_at_ms: start.at.getTime() } : { starts_in_ms: start.inMs }
    const request = { ...requestOf(opening), ...time, drain }
    const startsAtMs = await this.#change(opening.id, () =>
      this.#functions.value<number>("announce", [request]),
    )
    return new Date(startsAtMs)
  }

  /** What has become of a window that was announced; undefined if the database does not know it, as after a restore. */
  async announcement(id: string, signal?: AbortSignal): Promise<Announcement | undefined> {
    const look = () => this.#functions.rows<AnnouncementRow>("announcement", [id])
    const [row] = await persistently(look, { signal, isAbandonable: true })
    return (
      row && {
        startsInMs: row.starts_in_ms,
        position: row.position,
        endedBecause: row.ended_because ?? undefined,
        endedBy: row.ended_by ?? undefined,
      }
    )
  }

  /** Begins a window whose time has come, for whoever announced it; undefined if there is nothing to begin any more. */
  async begin(id: string, instance: number | undefined): Promise<Beginning | undefined> {
    const name = randomUUID()
    const begin = () => this.#functions.value<string | null>("begin_announced", [{ id, name, instance }])
    const begun = JSON.parse((await this.#change(name, begin)) ?? "null") as BegunRow | null
    if (!begun) return undefined
    if ("starts_in_ms" in begun) return { startsInMs: begun.starts_in_ms }
    return { opened: { epoch: begun.epoch, id }, request: begun.request, lateMs: begun.late_ms }
  }

  /**
   * Takes back what was announced. Throws NotMaintainerError for what somebody else has announced, MaintenanceInputError for what is not
   * announced, or not any more.
   */
  async cancel(id: string, actor: Actor): Promise<void> {
    const name = randomUUID()
    const values = [id, knownUser(actor), actor.isEmergency, name]
    await this.#change(name, () => this.#functions.rows("cancel", values))
  }

  /**
   * Takes back what a call has announced that waits no more, or says that its time was missed; returns whether it was announced still.
   * If that cannot be done now, it is done when the database is there again.
   */
  async lapse(id: string, because: "cancelled" | "missed"): Promise<boolean> {
    try {
      return await this.#change(undefined, () => this.#functions.value<boolean>("lapse", [[id], because]))
    } catch (error) {
      this.#doubtful.add(id)
      throw error
    }
  }

  /** Takes back what these calls have announced, within so many milliseconds. */
  async lapseAll(ids: readonly string[], withinMs: number): Promise<void> {
    await persistently(() => this.#functions.rows("lapse", [ids, "cancelled"]), { withinMs })
  }

  #takeBack(values: readonly unknown[]): Promise<boolean> {
    return this.#functions.value("take_back", values)
  }

  /** Has the changes not be made any more that were given up: a network that comes back may bring them still. */
  async voidDoubtful(): Promise<void> {
    const names = [...this.#doubtful]
    if (names.length === 0) return
    await this.#functions.rows("void", [names])
    for (const name of names) this.#doubtful.delete(name)
  }

  /** Makes a change; throws OutcomeUnknownError if it cannot be told whether it was made. */
  async #change<T>(
    name: string | undefined,
    work: (isAgain: boolean) => Promise<T>,
    persistence: Persistence = {},
  ): Promise<T> {
    let isDoubtful = false
    const attempt = async (isAgain: boolean) => {
      await this.voidDoubtful()
      return work(isAgain).catch((error: unknown) => {
        isDoubtful ||= !isFinal(error) && mayHaveRun(error)
        throw error
      })
    }
    const explain = async (error: unknown) =>
      isLocked(error) ? await stateLocked(this.#functions, "Mode not changed", error) : error
    const whyWaiting = () => this.#standbyAwaited()
    try {
      return await persistently(attempt, { withinMs: briefMs, explain, whyWaiting, ...persistence })
    } catch (error) {
      if (isDoubtful && name !== undefined) {
        this.#doubtful.add(name)
        // If not now, then before the next change, or when it is connected again.
        this.voidDoubtful().catch(() => undefined)
      }
      // Any other answer of the server says that it was not made.
      if (isDoubtful && (!isFinal(error) || isDestroyed(error)))
        throw perhapsChanged(error, await this.#standbyAwaited())
      throw persistence.signal?.aborted ? error : notChanged(await explain(error))
    }
  }

  /** What a change waits for that has no answer, if that is a standby. */
  #standbyAwaited(): Promise<string | undefined> {
    return standbyAwaited((text) => this.#functions.readElsewhere(text))
  }
}

/** A row of the function announcement(). */
interface AnnouncementRow {
  readonly starts_in_ms: number
  readonly position: Announcement["position"]
  readonly ended_because: EndedBecause | null
  readonly ended_by: string | null
}

/** What the function begin_announced() returns. */
type BegunRow =
  | { readonly epoch: number; readonly request: AnnouncedRequest; readonly late_ms: number }
  | { readonly starts_in_ms: number }

/** Ignores an error of this kind, if that is to be expected. */
function unless(isExpected: boolean, isKnown: (error: unknown) => boolean): (error: unknown) => void {
  return (error) => {
    if (!isExpected || !isKnown(error)) throw error
  }
}

const isRefused = (error: unknown): boolean =>
  error instanceof NotMaintainerError || error instanceof WindowEndedError
