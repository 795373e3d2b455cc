import { html } from "hono/html"
import type { MaintenanceReport } from "../../index"
import type { Sight } from "../sight"
import { clock, counted, type Html, meaningOf, nameOf, number } from "./words"

/** What is now: the mode, who, why, since when, until when. */
export function nowSection({ report, at, blockers }: Sight): Html {
  const { mode, state, maintainer, since, reason, message, progress } = report
  const title = state === "entering" ? `Entering ${nameOf[mode].toLowerCase()}` : nameOf[mode]
  const by =
    maintainer === undefined || since === undefined
      ? html`<p>${meaningOf[mode]}.</p>`
      : html`<p>
          by <b>${maintainer}</b> since ${clock(since)}
          (${counted(since, at)})${reason && html` · “${reason}”`}
        </p>`
  return html`<section id="now" class="now">
    <div class="facts">
      <h2>${title}</h2>
      ${by} ${message && html`<p>Others get: “${message}”</p>`} ${interrupted(report)}
      ${progress && progressLine(progress, at)}
    </div>
    ${countOf(report, at, blockers.length)}
  </section>`
}

function interrupted({ isInterrupted, mode }: MaintenanceReport): Html | "" {
  if (!isInterrupted || mode === "normal") return ""
  return html`<p class="late">
    The process that waited for it, or ran its work, is gone. The mode is in force.
  </p>`
}

function progressLine(
  { done, total, note, at }: NonNullable<MaintenanceReport["progress"]>,
  now: Date,
): Html {
  const share = total ? html` of ${number(total)} (${Math.min(100, Math.floor((100 * done) / total))} %)` : ""
  return html`<p>
    Progress: ${number(done)}${share}${note && html`, ${note}`} (${counted(at, now)} ago)
    ${total ? html`<progress value="${Math.min(1, done / total)}" aria-label="Progress of the work"></progress>` : ""}
  </p>`
}

/** The figure at the right: what is counted down to. */
function countOf(report: MaintenanceReport, now: Date, waitedFor: number): Html | "" {
  const { mode, state, expiresAt, plannedUntil, isOverdue, graceMs } = report
  if (mode === "normal") return ""
  const drainsUntil = drainEnd(report)
  if (state === "entering" && drainsUntil)
    return count(
      counted(drainsUntil, now),
      `for ${number(waitedFor)} ${waitedFor === 1 ? "transaction" : "transactions"} to end`,
    )
  if (isOverdue && plannedUntil) return count(counted(plannedUntil, now), "longer than planned", "late")
  if (expiresAt) return count(counted(expiresAt, now), "until it ends by itself")
  if (plannedUntil) return count(counted(plannedUntil, now), "until it is planned to end")
  return count("no end", graceMs === undefined ? "until somebody leaves" : "while its process lives")
}

function count(figure: Html | string, label: string, tone = ""): Html {
  return html`<div class="count">
    <strong class="${tone}">${figure}</strong><span class="quiet">${label}</span>
  </div>`
}

/** The end of the drain of the window that is being entered. */
export function drainEnd({ windows }: MaintenanceReport): Date | undefined {
  const entering = windows.findLast(({ position }) => position === "entering")
  return entering?.position === "entering" ? entering.drainsUntil : undefined
}
