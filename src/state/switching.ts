import { randomUUID } from "node:crypto"
import { MaintenanceError, MaintenanceInputError, NotMaintainerError } from "../errors"
import { knownUser } from "../identity"
import type { Actor, Mode } from "../mode/mode"
import { mayHaveRun } from "./control-connection"
import { briefMs, outageMs, type Persistence, persistently } from "./persistence"
import { isLocked, stateLocked } from "./locked"
import { notTakenBack, perhapsChanged } from "./refusal"
import type { StateFunctions } from "./state-functions"

/** How long a window stands, and what it leaves to others. */
export interface WindowTerms {
  readonly expiresInMs: number | undefined
  /** The name of the process that it is tied to, and how long it goes on without that. */
  readonly lease: string | undefined
  readonly graceMs: number | undefined
  /** How many connections of an instance others may use. */
  readonly readers: number | undefined
}

/** A window to open. */
export interface Opening {
  /** The name of the call, so that it can be made again when the answer was lost. */
  readonly id: string
  readonly mode: Mode
  readonly actor: Actor
  readonly reason: string | undefined
  /** The `during` that it opens the window for, and the one that it is called within. */
  readonly task: string | undefined
  readonly withinTask: string | undefined
  readonly terms: WindowTerms
  /** The instance that waits for what was running, and how long at most. */
  readonly instance: number | undefined
  readonly withinMs: number
}

/** When a window is to begin: at a time on the database's clock, or so much later than now. */
export type Start = { readonly at: Date } | { readonly inMs: number }

/**
 * Changes the mode in the database. Each change is made once, also where the connection is lost and it has to be asked again; it
 * is given up when the database cannot be reached for a while.
 */
export class Switching {
  readonly #functions: StateFunctions

  constructor(functions: StateFunctions) {
    this.#functions = functions
  }

  /**
   * Commits the new mode; returns the epoch. It holds for every fence from now on, but transactions that have passed theirs
   * still commit: it is being entered until `end`, or `abandon`. `isAnnounced` if `announce` was called for it. Throws
   * EnteringInterruptedError if it cannot be told whether that was done.
   */
  async start(opening: Opening, isAnnounced: boolean, signal?: AbortSignal): Promise<number> {
    const { id, mode, actor, reason, task, withinTask, terms, instance, withinMs } = opening
    const { expiresInMs, lease, graceMs, readers } = terms
    const name = isAnnounced ? "start_announced" : "start_entering"
    const who = [id, mode, knownUser(actor), actor.isEmergency, reason, task ?? withinTask, withinTask]
    const values = [...who, expiresInMs, lease, graceMs, readers, instance, withinMs]
    let isOpen = false
    const start = () =>
      this.#functions.value<number>(name, values).catch((error: unknown) => {
        isOpen ||= mayHaveRun(error)
        throw error
      })
    try {
      return await this.#change(start, { signal })
    } catch (error) {
      throw isOpen && !(error instanceof MaintenanceError) ? perhapsChanged(error) : error
    }
  }

  /** Says that nothing is left to wait for; throws NotMaintainerError if the window is gone. */
  async end(epoch: number): Promise<void> {
    await persistently(() => this.#functions.rows("end_entering", [epoch]))
  }

  /** Says that nobody waits any more, and the window stands. */
  async interrupt(epoch: number): Promise<void> {
    await this.#functions.rows("interrupt_entering", [epoch])
  }

  /** Puts back what there was before the window that is being entered. */
  async abandon(epoch: number, actor: Actor): Promise<void> {
    const values = [epoch, knownUser(actor), actor.isEmergency]
    await this.#change(async (isAgain) => {
      await this.#functions.rows("abandon", values).catch(unless(isAgain, isRefused))
    })
  }

  /** Who has passed a fence before this epoch, and has not ended: backends, and 0 for prepared transactions. */
  async waitedFor(epoch: number): Promise<number[]> {
    const rows = await persistently(() => this.#functions.rows<{ waited_for: number }>("waited_for", [epoch]))
    return rows.map(({ waited_for: pid }) => pid)
  }

  /** Ends the window of a task: puts back the state before it; returns whether the window had not been ended or taken over. */
  async finish(task: string): Promise<boolean> {
    const epoch = await this.#change(() => this.#functions.value("finish", [task]), { withinMs: outageMs })
    return epoch !== null
  }

  /** Ends the window, or takes back what the actor has announced. */
  async leave(actor: Actor): Promise<void> {
    const values = [knownUser(actor), actor.isEmergency, randomUUID()]
    await this.#change(async (isAgain) => {
      await this.#functions.rows("leave", values).catch(async (error: unknown) => {
        const isNothing = error instanceof MaintenanceInputError
        if (!isNothing && !(error instanceof NotMaintainerError)) throw error
        const isWithdrawn = await this.#withdraw(null, actor).catch((refusal: unknown) => {
          if (!(refusal instanceof NotMaintainerError)) throw refusal
          throw isNothing ? notTakenBack(refusal) : error
        })
        // The answer to the withdrawal may have been lost.
        if (!isWithdrawn && !(isNothing && isAgain)) throw error
      })
    })
  }

  /** Has the window end by itself so much later than now, or (undefined) not at all. */
  async extend(actor: Actor, expiresInMs: number | undefined): Promise<void> {
    const values = [knownUser(actor), actor.isEmergency, expiresInMs, randomUUID()]
    await this.#change(() => this.#functions.rows("extend", values))
  }

  /** Hands the window to another maintainer; returns the epoch. */
  transfer(actor: Actor, to: string): Promise<number> {
    const values = [knownUser(actor), actor.isEmergency, to, randomUUID()]
    return this.#change(() => this.#functions.value("transfer", values))
  }

  /** Puts off the end of the windows that are tied to a process; returns whether there can be one still. */
  renew(lease: string): Promise<boolean> {
    return this.#functions.value("renew", [lease])
  }

  /** Says that a window will begin; returns in how many milliseconds. */
  announce({ id, mode, actor, reason, terms, instance }: Opening, start: Start): Promise<number> {
    const [at, inMs] = "at" in start ? [start.at, undefined] : [undefined, start.inMs]
    const who = [id, mode, knownUser(actor), actor.isEmergency, reason]
    const values = [...who, at, inMs, terms.expiresInMs, instance]
    return this.#change(() => this.#functions.value("announce", values))
  }

  /** In how many milliseconds what a call has announced is to begin; null if it was withdrawn. */
  startsIn(id: string, signal?: AbortSignal): Promise<number | null> {
    return persistently(() => this.#functions.value("starts_in", [id]), { signal })
  }

  /** Takes back what a call has announced. */
  async withdraw({ id, actor }: Pick<Opening, "id" | "actor">): Promise<void> {
    await this.#change(() => this.#withdraw(id, actor))
  }

  /** Takes back what these calls have announced, because nobody waits any more. */
  async lapse(ids: readonly string[]): Promise<void> {
    await this.#functions.rows("lapse", [ids])
  }

  #withdraw(id: string | null, actor: Actor): Promise<boolean> {
    return this.#functions.value("withdraw", [id, knownUser(actor), actor.isEmergency])
  }

  async #change<T>(work: (isAgain: boolean) => Promise<T>, persistence: Persistence = {}): Promise<T> {
    const explain = async (error: unknown) =>
      isLocked(error) ? await stateLocked(this.#functions, error) : error
    try {
      return await persistently(work, { withinMs: briefMs, explain, ...persistence })
    } catch (error) {
      throw await explain(error)
    }
  }
}

/** Ignores an error of this kind, if that is to be expected. */
function unless(isExpected: boolean, isKnown: (error: unknown) => boolean): (error: unknown) => void {
  return (error) => {
    if (!isExpected || !isKnown(error)) throw error
  }
}

const isRefused = (error: unknown): boolean => error instanceof NotMaintainerError
