import type { ApplicationReport, Ended } from "./messages"

/** The totals of a soak. */
export class Tally {
  readonly outcomes = new Map<string, number>()
  /** The outcomes of the maintainers' calls, by kind of call. */
  readonly calls = new Map<string, number>()
  switches = 0
  longestEnterMs = 0
  longestOutageMs = 0
  #lastStoredAt = 0

  application({ outcomes, lastStoredAt }: ApplicationReport["application"]): void {
    for (const [outcome, count] of Object.entries(outcomes)) add(this.outcomes, outcome, count)
    this.#lastStoredAt = Math.max(this.#lastStoredAt, lastStoredAt)
  }

  call({ call, outcome, begunAt, endedAt }: Ended["ended"]): void {
    if (call === "write" || call === "status") return
    add(this.calls, `${call.replace(/\(.*/, "")}: ${outcome}`, 1)
    if (outcome !== "done") return
    if (["leave", "transfer"].includes(call) || /^(enter|during)/.test(call)) this.switches++
    if (call.startsWith("enter")) this.longestEnterMs = Math.max(this.longestEnterMs, endedAt - begunAt)
  }

  /** Time for which applications have stored nothing although no window restricts them, in milliseconds. */
  outage(now: number, unrestrictedSince: number): number {
    const ms = now - Math.max(this.#lastStoredAt, unrestrictedSince)
    this.longestOutageMs = Math.max(this.longestOutageMs, ms)
    return ms
  }
}

function add(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count)
}
