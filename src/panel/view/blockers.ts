import { html } from "hono/html"
import type { MaintenanceReport, Mode } from "../../index"
import type { Sight } from "../sight"
import { button, type Frame } from "./frame"
import { enteringIn } from "./now"
import { leaveLabel } from "./window"
import { type Column, scrollTable } from "./table"
import { type Blocker, duration, type Html, number, numberOf, outcomeOf } from "./words"

/** Number of blockers that are listed, oldest first. */
const listedBlockers = 50

/** Section of the transactions that are waited for while a window is being entered, with a bar to the deadline. */
export function blockersSection({ report, blockers, at }: Sight, frame: Frame): Html {
  if (report.state !== "entering") return html`<section id="blockers" hidden></section>`
  return html`<section id="blockers">
    <h2>Blockers</h2>
    ${deadlineBar(report, at)}
    ${
      blockers.length === 0
        ? html`<p>No transaction is waited for.</p>`
        : blockersTable(blockers, frame.showsQueries)
    }
    <p class="quiet">${atDeadline(report)}</p>
    <div class="row">${breakOff(report, frame)}</div>
  </section>`
}

/** Section of the transactions that entering a mode would wait for. */
export function preflightSection(blockers: readonly Blocker[], mode: Mode, showsQueries: boolean): Html {
  return html`<section id="preflight">
    <h2>
      Entering ${mode} mode would wait for
      ${blockers.length === 0 ? "no transaction" : numberOf(blockers.length, "transaction")}
    </h2>
    ${blockers.length > 0 && blockersTable(blockers, showsQueries)}
  </section>`
}

function deadlineBar(report: MaintenanceReport, at: Date): Html | "" {
  const { begunAt: from, drainsUntil: until } = enteringIn(report) ?? {}
  if (!from || !until) return ""
  const share = (at.getTime() - from.getTime()) / (until.getTime() - from.getTime())
  return html`<progress
    value="${Math.min(1, Math.max(0, share)).toFixed(3)}"
    data-from="${from.toISOString()}"
    data-until="${until.toISOString()}"
    aria-label="Time until the deadline"
  ></progress>`
}

function atDeadline(report: MaintenanceReport): string {
  const { drainsThen } = enteringIn(report) ?? {}
  if (drainsThen === undefined) return "It waits only for commits under way, which can no longer be refused."
  const isForced = drainsThen === "cancel" || drainsThen === "terminate"
  const after = isForced ? " If some remain 5 seconds later, the previous mode is restored." : ""
  return `If some remain at the deadline, ${outcomeOf[drainsThen]}.${after}`
}

function breakOff(report: MaintenanceReport, frame: Frame): Html {
  const { maintainer, windowId = "" } = report
  const why = frame.whyNot(maintainer)
  if (frame.isEntering)
    return html`${button(frame, { action: "break-off", label: "Break off", why, fields: { windowId } })}
      <p class="quiet">${why ?? "Breaking off restores the previous mode."}</p>`
  return html`${button(frame, { action: "leave", label: leaveLabel(report), why, fields: { windowId } })}
    <p class="quiet">
      ${why ?? "Another process is entering this window. To restore the previous mode, break it off there."}
    </p>`
}

/** The transactions that are waited for, oldest first. */
export function blockersTable(blockers: readonly Blocker[], showsQueries: boolean): Html {
  const rows = blockers.slice(0, listedBlockers).map(
    (blocker) =>
      html`<tr>
        <td>${blocker.pid ?? "–"}</td>
        <td class="number">${blocker.ageMs === undefined ? "?" : duration(blocker.ageMs)}</td>
        <td>${blocker.isHidden ? "hidden" : blocker.state}</td>
        <td>${blocker.hasWritten ? "yes" : "no"}</td>
        <td title="${blocker.application ?? ""}">
          ${blocker.pid === undefined ? `prepared: ${blocker.transaction}` : (blocker.application ?? "")}
        </td>
        <td title="${blocker.user ?? ""}">${blocker.user ?? ""}</td>
        ${showsQueries && html`<td class="code" title="${blocker.query ?? ""}">${blocker.query ?? "–"}</td>`}
      </tr>`,
  )
  const columns: Column[] = [
    ["PID", "narrow"],
    ["age", "narrow number"],
    ["state", "ten"],
    ["wrote", "narrow"],
    ["application", "ten"],
    ["user", "seven"],
    ...(showsQueries ? [["statement"] as const] : []),
  ]
  const more = blockers.length - rows.length
  return html`${scrollTable("Transactions", columns, rows)}
  ${more > 0 && html`<p class="quiet">and ${number(more)} more</p>`}
  ${
    blockers.some(({ isHidden }) => isHidden) &&
    html`<p class="quiet">
      PostgreSQL hides what some sessions do from this role. Grant it pg_read_all_stats to see more.
    </p>`
  }`
}
