import { onAborted } from "./aborted"
import { type Said, WaitingNotice } from "./enforcement/waiting-notice"
import { AccessRefusedError, MaintenanceSetupError, WriteVetoedError } from "./errors"
import { maxDurationMs } from "./input"
import type { Actor } from "./mode/mode"
import { isLocked } from "./state/locked"
import { isFinal } from "./state/persistence"
import { describeWindow, notTold, notWritable } from "./state/refusal"

/** What it asks. */
export interface Gatekeeper {
  /** The refusal of who may not write now; undefined for who may. Rejects with MaintenanceSetupError, and if the database is away. */
  refusal(actor: Actor): Promise<WriteVetoedError | AccessRefusedError | undefined>
  /** Listens to changes of the mode; returns the undo. */
  onChange(listener: () => void): () => void
  /** Aborted when nothing is heard any more: the DataSource is destroyed. */
  stopped(): AbortSignal
}

/** Who waits, and what keeps him from writing: a refusal, or why the database cannot be asked. */
interface Waiting {
  obstacle: Error | undefined
}

/** How often to look whether one may write, if nothing is heard. */
const lookAgainMs = 5000
/** How often to ask again while the database cannot be reached. */
const askAgainMs = 1000
/** How long the database may take to answer, though the time is over. */
const answerWithinMs = 1000
/** Within what time after a change those who wait look, so that they do not all at once. */
const spreadMs = 250

/** Where they wait who are to write later. */
export class WritableWait {
  readonly #gatekeeper: Gatekeeper
  readonly #notice = new WaitingNotice<Waiting>(({ obstacle }) => said(obstacle))

  constructor(gatekeeper: Gatekeeper) {
    this.#gatekeeper = gatekeeper
  }

  /**
   * Resolves when the actor may write. Throws the refusal when the time is over, or MaintenanceSetupError if the database cannot be
   * reached then; the reason of the signal; and MaintenanceSetupError if the DataSource is destroyed.
   */
  async wait(
    actor: Actor,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<void> {
    const { refusal, onChange, stopped } = this.#gatekeeper
    const deadline = performance.now() + timeoutMs
    const leftMs = () => Math.max(0, deadline - performance.now())
    const waiting: Waiting = { obstacle: undefined }
    this.#notice.begin(waiting)
    try {
      for (;;) {
        signal?.throwIfAborted()
        const change = new AbortController()
        const stop = onChange(() => change.abort())
        const until = endsOf(stopped(), signal)
        try {
          waiting.obstacle = await answerTo(() => refusal(actor), leftMs(), until)
          throwIfOver(until, signal)
          if (!waiting.obstacle) return
          if (leftMs() === 0) throw failureFor(waiting.obstacle, timeoutMs)
          // Not for ever: while the watch is cut off nothing is heard.
          const againMs = isRefusal(waiting.obstacle) ? lookAgainMs : askAgainMs * (0.5 + Math.random())
          await elapsed(Math.min(againMs, leftMs()), [...until, change.signal])
          if (change.signal.aborted) await elapsed(Math.min(Math.random() * spreadMs, leftMs()), until)
          throwIfOver(until, signal)
        } finally {
          stop()
        }
      }
    } finally {
      this.#notice.end(waiting)
    }
  }
}

/** What ends the waiting. Of a DataSource that was destroyed before, what is asked begins anew. */
function endsOf(stopped: AbortSignal, signal: AbortSignal | undefined): AbortSignal[] {
  return [stopped, signal].filter((one) => one !== undefined && !one.aborted) as AbortSignal[]
}

function throwIfOver(until: readonly AbortSignal[], signal: AbortSignal | undefined): void {
  signal?.throwIfAborted()
  if (until.some(({ aborted }) => aborted)) throw destroyedMeanwhile()
}

/** Resolves after so many milliseconds, or when one of these is aborted. */
function elapsed(ms: number, until: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      for (const stop of stops) stop()
      resolve()
    }
    const timer = setTimeout(end, ms)
    const stops = until.map((signal) => onAborted(signal, end))
    if (until.some(({ aborted }) => aborted)) end()
  })
}

/** The obstacle that is found, if there is one; or that the database cannot be asked, or does not answer within the time. */
async function answerTo(
  ask: () => Promise<Error | undefined>,
  withinMs: number,
  until: AbortSignal[],
): Promise<Error | undefined> {
  const answered = new AbortController()
  const patienceMs = Math.min(Math.max(withinMs, answerWithinMs), maxDurationMs)
  const silence = elapsed(patienceMs, [...until, answered.signal]).then(
    () => new Error(`it has not answered for ${Math.round(patienceMs)} ms`),
  )
  const answer = ask().catch((error: unknown) => {
    // That does not pass by itself.
    if (isFinal(error)) throw error
    return error as Error
  })
  try {
    return await Promise.race([answer, silence])
  } finally {
    answered.abort()
  }
}

function isRefusal(obstacle: Error): obstacle is WriteVetoedError | AccessRefusedError {
  return obstacle instanceof WriteVetoedError || obstacle instanceof AccessRefusedError
}

/** The error for who has waited in vain. */
function failureFor(obstacle: Error, timeoutMs: number): Error {
  return isRefusal(obstacle)
    ? notWritable(obstacle, timeoutMs)
    : notTold(whyNotTold(obstacle), obstacle, timeoutMs)
}

/** Why it is not known whether one may write. */
function whyNotTold(obstacle: Error): string {
  const what = isLocked(obstacle) ? "others have locked the state" : "the database cannot be reached"
  return `${what} (${String(obstacle)})`
}

function destroyedMeanwhile(): MaintenanceSetupError {
  return new MaintenanceSetupError(
    "The DataSource was destroyed, or maintenance mode uninstalled, while this waited until it may write.",
  )
}

/** What is said of those who wait. */
function said(obstacle: Error | undefined): Said | undefined {
  if (!obstacle) return undefined
  return isRefusal(obstacle)
    ? {
        of: String(obstacle.since?.getTime()),
        text: `for the end of the ${obstacle.mode} maintenance ${describeWindow(obstacle)} (whenWritable()).`,
      }
    : {
        of: "the database",
        text: `in whenWritable(), but ${whyNotTold(obstacle)}.`,
      }
}
