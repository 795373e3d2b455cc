import { randomUUID } from "node:crypto"
import { NotMaintainerError, WindowEndedError } from "../errors"
import { knownUser } from "../identity/current-actor"
import type { EndedBecause } from "../mode/ending"
import type { Actor } from "../mode/actor"
import { mayHaveRun } from "./control-connection"
import { isDestroyed } from "./destroyed"
import { awaitingTask } from "./interrupted-task"
import { stateLocked } from "./locked"
import { isNothingToChange, notChanged, notCancelled, perhapsChanged } from "./not-changed"
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
import { isLocked } from "../sqlstate"
import { standbyAwaited } from "./standby"
import type { StateFunctions } from "./state-functions"

/**
 * Changes the mode in the database. Each change is made exactly once, even if the connection is lost and the
 * request is repeated. It is given up when the database cannot be reached for a while.
 */
export class Switching {
  readonly #functions: StateFunctions
  /** Names of changes that were given up, and may still be on their way to the server. */
  readonly #doubtful = new Set<string>()

  constructor(functions: StateFunctions) {
    this.#functions = functions
  }

  /**
   * Commits the new mode. From now on it is in force for every fence, but transactions that have passed
   * theirs still commit. The window is being entered until `end()` or `abandon()`. `isAnnounced` tells
   * whether `announce()` was called for it. A task of the same user whose process does not return is taken
   * over. Throws OutcomeUnknownError if the outcome is not known.
   */
  async start(opening: Opening, isAnnounced: boolean, signal?: AbortSignal): Promise<Opened> {
    const { id } = opening
    const request = { ...requestOf(opening), is_announced: isAnnounced }
    const begin = () =>
      this.#change(id, () => this.#functions.value<number>("start_entering", [request]), { signal })
    const epoch = await awaitingTask(begin, { giveUp: (gone) => this.#giveUp(gone), signal })
    return { epoch, id }
  }

  /** Records that the tasks of a missing instance will not resume. */
  async #giveUp(instance: number): Promise<void> {
    await this.#change(undefined, () => this.#functions.rows("give_up", [instance]))
  }

  /** Records that the drain is complete. Throws WindowEndedError if the window is gone. */
  async end({ epoch, id }: Opened, signal?: AbortSignal): Promise<void> {
    const whyWaiting = () => this.#standbyAwaited()
    await persistently(() => this.#functions.rows("end_entering", [epoch, id]), { signal, whyWaiting })
  }

  /** Records that no process waits for the drain any longer, and that the window stays in force. */
  async interrupt({ id }: Opened): Promise<void> {
    await this.#functions.rows("interrupt_entering", [id])
  }

  /** Restores the state before the window that is being entered. */
  async abandon({ epoch, id }: Opened, actor: Actor): Promise<void> {
    const values = [epoch, id, knownUser(actor), actor.isEmergency]
    await this.#change(undefined, async (isAgain) => {
      await this.#functions.rows("abandon", values).catch(unless(isAgain, isRefused))
    })
  }

  /**
   * Returns the backends that passed a fence before this epoch and have not ended; 0 stands for prepared
   * transactions. Throws WindowEndedError if the window is gone.
   */
  async waitedFor({ epoch, id }: Opened, signal?: AbortSignal): Promise<number[]> {
    const look = () => this.#functions.rows<{ waited_for: number }>("waited_for", [epoch, id])
    const rows = await persistently(look, { signal, isAbandonable: true })
    return rows.map(({ waited_for: pid }) => pid)
  }

  /**
   * Ends the window of a task and restores the state before it. Returns that state; undefined if the window
   * had been ended or taken over.
   */
  async finish(task: string): Promise<Opened | undefined> {
    const finish = () => this.#functions.value<number | null>("finish", [task])
    const epoch = await this.#change(undefined, finish, { withinMs: outageMs })
    return epoch === null ? undefined : { epoch, id: `end of ${task}` }
  }

  /**
   * Ends the window. If the actor holds none, it cancels the actor's announced windows instead, unless
   * `windowOnly` is set.
   */
  async leave(actor: Actor, { windowOnly = false } = {}): Promise<void> {
    const name = randomUUID()
    const values = [knownUser(actor), actor.isEmergency, name]
    await this.#change(name, async () => {
      await this.#functions.rows("leave", values).catch(async (error: unknown) => {
        const isNothing = isNothingToChange(error)
        if (windowOnly || (!isNothing && !(error instanceof NotMaintainerError))) throw error
        const isCancelled = await this.#cancelAnnounced(values).catch((refusal: unknown) => {
          if (!(refusal instanceof NotMaintainerError)) throw refusal
          throw isNothing ? notCancelled(refusal) : error
        })
        if (!isCancelled) throw error
      })
    })
  }

  /**
   * Sets the end of the window to this many milliseconds from now; with undefined, the window does not end by
   * itself.
   */
  async extend(actor: Actor, expiresInMs: number | undefined): Promise<void> {
    const name = randomUUID()
    const values = [knownUser(actor), actor.isEmergency, expiresInMs, name]
    await this.#change(name, () => this.#functions.rows("extend", values))
  }

  /** Hands the window over to another maintainer. */
  async transfer(actor: Actor, to: string): Promise<Opened> {
    const id = randomUUID()
    const values = [knownUser(actor), actor.isEmergency, to, id]
    const epoch = await this.#change(id, () => this.#functions.value<number>("transfer", values))
    return { epoch, id }
  }

  /**
   * Renews the windows that are tied to a process, ahead of everything that waits; returns whether there can
   * still be one.
   */
  renew(lease: string): Promise<boolean> {
    return this.#functions.value("renew", [lease], "first")
  }

  /** Announces a window; returns its start. `drain` is for the process that begins it. */
  async announce(opening: Opening, start: Start, drain: object): Promise<Date> {
    const time = "at" in start ? { starts_at_ms: start.at.getTime() } : { starts_in_ms: start.inMs }
    const request = { ...requestOf(opening), ...time, drain }
    const startsAtMs = await this.#change(opening.id, () =>
      this.#functions.value<number>("announce", [request]),
    )
    return new Date(startsAtMs)
  }

  /**
   * Returns the present position of an announced window; undefined if the database does not know it, for
   * example after a restore.
   */
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

  /**
   * Begins a window whose time has come, in its maintainer's name; undefined if there is no longer anything
   * to begin.
   */
  async begin(id: string, instance: number | undefined): Promise<Beginning | undefined> {
    const name = randomUUID()
    const begin = () => this.#functions.value<string | null>("begin_announced", [{ id, name, instance }])
    const begun = JSON.parse((await this.#change(name, begin)) ?? "null") as BegunRow | null
    if (!begun) return undefined
    if ("starts_in_ms" in begun) return { startsInMs: begun.starts_in_ms }
    return { opened: { epoch: begun.epoch, id }, request: begun.request, lateMs: begun.late_ms }
  }

  /**
   * Cancels an announced window. Throws NotMaintainerError if another user has announced it,
   * MaintenanceInputError if it is not, or no longer, announced.
   */
  async cancel(id: string, actor: Actor): Promise<void> {
    const name = randomUUID()
    const values = [id, knownUser(actor), actor.isEmergency, name]
    await this.#change(name, () => this.#functions.rows("cancel", values))
  }

  /**
   * Ends an announced window because its call no longer waits or its time was missed; returns whether it was
   * still announced. If that fails now, it is done when the database is back.
   */
  async lapse(id: string, because: "cancelled" | "missed"): Promise<boolean> {
    try {
      return await this.#change(undefined, () => this.#functions.value<boolean>("lapse", [[id], because]))
    } catch (error) {
      this.#doubtful.add(id)
      throw error
    }
  }

  /** Cancels the windows that these calls have announced, retrying for `withinMs`. */
  async lapseAll(ids: readonly string[], withinMs: number): Promise<void> {
    await persistently(() => this.#functions.rows("lapse", [ids, "cancelled"]), { withinMs })
  }

  #cancelAnnounced(values: readonly unknown[]): Promise<boolean> {
    return this.#functions.value("cancel_announced", values)
  }

  /** Voids the changes that were given up: a network that recovers may still deliver them. */
  async voidDoubtful(): Promise<void> {
    const names = [...this.#doubtful]
    if (names.length === 0) return
    await this.#functions.rows("void", [names])
    for (const name of names) this.#doubtful.delete(name)
  }

  /** Makes a change. Throws OutcomeUnknownError if the outcome is not known. */
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
        // If this fails, it is done before the next change, or on reconnecting.
        this.voidDoubtful().catch(() => undefined)
      }
      // Any other answer of the server means that the change was not made.
      if (isDoubtful && (!isFinal(error) || isDestroyed(error)))
        throw perhapsChanged(error, await this.#standbyAwaited())
      throw persistence.signal?.aborted ? error : notChanged(await explain(error))
    }
  }

  /** Returns a sentence on the standby for which an unanswered change waits, if it does. */
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

/** The result of the function begin_announced(). */
type BegunRow =
  | { readonly epoch: number; readonly request: AnnouncedRequest; readonly late_ms: number }
  | { readonly starts_in_ms: number }

/** Ignores an error of this kind if it is expected. */
function unless(isExpected: boolean, isKnown: (error: unknown) => boolean): (error: unknown) => void {
  return (error) => {
    if (!isExpected || !isKnown(error)) throw error
  }
}

const isRefused = (error: unknown): boolean =>
  error instanceof NotMaintainerError || error instanceof WindowEndedError
