import type { Mode } from "../../src"
import type { Findings } from "./findings"
import type { Ended, Told } from "./messages"
import type { Timeline } from "./timeline"
import type { Witness } from "./witness"

/** A state in the history, as recorded by the trigger on the state table. */
interface State {
  epoch: number
  at: Date
  mode: Mode
  maintainer: string | null
  reason: string | null
  expires_at: Date | null
  former_epoch: number
  former_expires_at: Date | null
  former_latest: Date | null
  former_lease: string | null
}

/** Tolerated delay on a busy machine, in milliseconds, for something that should happen at once. */
const slackMs = 1500
/** Faults that delay an answer without making it wrong. */
const slowing = ["freeze", "delay", "stop"]

const columns =
  "epoch, at, mode, maintainer, reason, expires_at, former_epoch, former_expires_at, former_latest, former_lease from history"

/** Compares the outcomes of the maintainers' calls with the history of states. */
export class Judge {
  readonly #witness: Witness
  readonly #findings: Findings
  readonly #timeline: Timeline
  readonly #lastEpochs = new Map<string, number>()
  #lastJudged = 0

  constructor(witness: Witness, findings: Findings, timeline: Timeline) {
    this.#witness = witness
    this.#findings = findings
    this.#timeline = timeline
  }

  async ended(who: string, ended: Ended["ended"]): Promise<void> {
    if (ended.outcome === "done" && ended.epoch !== undefined) await this.#entered(who, ended, ended.epoch)
    if (ended.abortedAt !== undefined) this.#brokenOff(who, ended, ended.abortedAt)
    if (ended.isBroken && !ended.hasEntered) await this.#gaveUp(who, ended)
  }

  /** Checks that `status()` returned a state in the history, and none earlier than before. */
  async told(who: string, { epoch, mode, maintainer }: Told["told"]): Promise<void> {
    const last = this.#lastEpochs.get(who) ?? 0
    this.#lastEpochs.set(who, epoch)
    if (epoch < last)
      this.#findings.add("inconsistency", "status() went back", `${who}: from ${last} to ${epoch}`)
    const [state] = await this.#witness.query<State>(`select ${columns} where epoch = $1`, [epoch])
    // The first state precedes the history.
    if (!state) return
    const isExpired = mode === "normal" && state.mode !== "normal"
    if (isExpired || (state.mode === mode && (state.maintainer ?? undefined) === maintainer)) return
    const facts = `${who}: ${mode} of ${maintainer} instead of ${state.mode} of ${state.maintainer} (${epoch})`
    this.#findings.add("inconsistency", "status() told of a state that there was not", facts)
  }

  /**
   * Checks that epochs are consecutive, and that a window tied to a process stands while that process lives.
   */
  async history(
    graceMsOf: (maintainer: string) => { who: string; graceMs: number } | undefined,
  ): Promise<void> {
    const states = await this.#witness.query<State>(`select ${columns} where epoch > $1 order by epoch`, [
      this.#lastJudged,
    ])
    for (const state of states) {
      const {
        epoch,
        at,
        former_epoch: former,
        former_expires_at: expiredAt,
        former_lease: lease,
        former_latest: latest,
      } = state
      this.#lastJudged = epoch
      this.#timeline.note(`epoch ${epoch}: ${describe(state)}`, at.getTime())
      if (epoch !== former + 1)
        this.#findings.add("inconsistency", "an epoch did not follow the one before", `${former}, ${epoch}`)
      if (lease === null || expiredAt === null || expiredAt > at) continue
      // It ended at its expiry, which does not depend on the process.
      if (latest !== null && latest <= expiredAt) continue
      const [before] = await this.#witness.query<State>(`select ${columns} where epoch = $1`, [former])
      const held = graceMsOf(before?.maintainer ?? "")
      const expiry = expiredAt.getTime()
      if (!held || this.#timeline.isDisturbed(held.who, expiry - held.graceMs - slackMs, expiry)) continue
      this.#findings.add(
        "inconsistency",
        "a window ended that is tied to a process, and the process lives",
        `${held.who}, window ${former}`,
      )
    }
  }

  /** Checks that `enter()` resolved with a window that stood, or had only just ended. */
  async #entered(who: string, { operation, endedAt, begunAt }: Ended["ended"], epoch: number): Promise<void> {
    const [next] = await this.#witness.query<State>(`select ${columns} where former_epoch = $1`, [epoch])
    if (!next) return
    const over = Math.min(next.at.getTime(), next.former_expires_at?.getTime() ?? Number.POSITIVE_INFINITY)
    if (over > endedAt - slackMs || this.#timeline.isDisturbed(who, over, endedAt, slowing)) return
    this.#findings.add(
      "inconsistency",
      "enter() resolved though its window had ended",
      `${operation}: epoch ${epoch}, over for ${endedAt - over} ms, begun ${endedAt - begunAt} ms ago`,
    )
  }

  #brokenOff(who: string, { operation, outcome, endedAt }: Ended["ended"], abortedAt: number): void {
    const lateMs = endedAt - abortedAt
    if (lateMs < slackMs || this.#timeline.isDisturbed(who, abortedAt, endedAt)) return
    this.#findings.add(
      "inconsistency",
      "enter() did not heed its signal",
      `${operation}: ${outcome}, ${lateMs} ms after the signal`,
    )
  }

  /**
   * Checks that a waiting `enter()` kept waiting while its window stood, whatever happened to the connection.
   */
  async #gaveUp(who: string, { operation, outcome, endedAt }: Ended["ended"]): Promise<void> {
    const [own] = await this.#witness.query<State>(
      `select ${columns} where reason = $1 and former_epoch = epoch - 1 order by epoch limit 1`,
      [operation],
    )
    if (!own) return
    const [next] = await this.#witness.query<State>(`select ${columns} where former_epoch = $1`, [own.epoch])
    // After that, `enter()` was right to reject.
    if (next && next.at.getTime() <= endedAt) return
    const waitedMs = endedAt - own.at.getTime()
    // Its answer may have been lost, so that it never began to wait.
    if (waitedMs < slackMs / 3 || this.#timeline.isDisturbed(who, own.at.getTime(), endedAt, slowing)) return
    this.#findings.add(
      "inconsistency",
      "enter() gave up waiting",
      `${operation}: ${outcome}, ${waitedMs} ms after the mode was committed`,
    )
  }
}

function describe({ mode, maintainer, reason }: State): string {
  return mode === "normal" ? mode : `${mode} of ${maintainer} (${reason})`
}
