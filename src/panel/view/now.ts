import { html } from "hono/html"
import type { MaintenanceReport, OpenWindow } from "../../index"
import type { Sight } from "../sight"
import { clock, type Html, meaningOf, nameOf, number, numberOf, since, titleOf, until } from "./words"

/** Section of the mode in force: maintainer, reason, start and end. */
export function nowSection({ report, at, blockers }: Sight): Html {
  const { mode, maintainer, reason, message, progress } = report
  const by =
    maintainer === undefined || report.since === undefined
      ? html`<p>${meaningOf[mode]}.</p>`
      : html`<p>
          by <b>${maintainer}</b> since ${clock(report.since)}
          (${since(report.since, at)})${reason && html` · “<bdi>${reason}</bdi>”`}
        </p>`
  return html`<section id="now" class="now">
    <div class="facts">
      <h2>${titleOf(report)}</h2>
      ${by} ${message && html`<p>Message for the public: “<bdi>${message}</bdi>”</p>`} ${interrupted(report)}
      ${ends(report)} ${below(report)} ${progress && progressLine(progress, at)}
    </div>
    ${countOf(report, at, blockers.length)}
  </section>`
}

function interrupted({ isInterrupted, mode }: MaintenanceReport): Html | "" {
  if (!isInterrupted || mode === "normal") return ""
  return html`<p class="late">
    The mode is in force, but the process that was entering it, or doing its work, is gone. Transactions that
    were open may still commit. Show blockers, then apply the mode again to wait for them, or leave.
  </p>`
}

/** The ends of the window that are known. */
function ends({ expiresAt, plannedUntil, isOverdue, graceMs }: MaintenanceReport): Html {
  const alone =
    graceMs === undefined ? "" : `when its process is gone for ${number(Math.ceil(graceMs / 1000))} s`
  const expiry = expiresAt && html`at ${clock(expiresAt)}`
  return html`${
    plannedUntil &&
    html`<p class="${isOverdue ? "late" : ""}">
      Planned until ${clock(plannedUntil)}${isOverdue && ", overdue"}.
    </p>`
  }
  ${(expiry || alone) && html`<p>Ends by itself ${expiry}${expiry && alone && ", or "}${alone}.</p>`}`
}

/** The windows that the one in force covers. */
function below({ windows }: MaintenanceReport): Html | "" {
  const covered = coveredIn(windows)
  if (!covered) return ""
  return html`<p>
    Covers ${nameOf[covered.mode].toLowerCase()} mode by ${covered.maintainer}: in force again if this window
    expires or is abandoned. To leave ends both.
  </p>`
}

function progressLine(
  { done, total, note, at }: NonNullable<MaintenanceReport["progress"]>,
  now: Date,
): Html {
  const share = total ? html` of ${number(total)} (${Math.min(100, Math.floor((100 * done) / total))} %)` : ""
  return html`<p>
    Progress: ${number(done)}${share}${note && html`, ${note}`} (${since(at, now)} ago)
    ${total ? html`<progress value="${Math.min(1, done / total)}" aria-label="Progress of the work"></progress>` : ""}
  </p>`
}

/** The figure at the right: the time that is counted, or what is waited for. */
function countOf(report: MaintenanceReport, now: Date, waitedFor: number): Html | "" {
  const { mode, state, maintainer, expiresAt, plannedUntil, isOverdue, graceMs } = report
  if (mode === "normal") return ""
  if (state === "entering") {
    const end = enteringIn(report)?.drainsUntil
    if (waitedFor === 0) return count("…", "until all instances know the mode")
    return end
      ? count(until(end, now), `for ${numberOf(waitedFor, "transaction")} to end`)
      : count(number(waitedFor), "commits under way are waited for")
  }
  if (isOverdue && plannedUntil) return count(since(plannedUntil, now), "longer than planned", "late")
  if (expiresAt) return count(until(expiresAt, now), "until it ends by itself")
  if (plannedUntil) return count(until(plannedUntil, now), "until it is planned to end")
  return graceMs === undefined
    ? count("no end set", `until ${maintainer} leaves`)
    : count("no end set", "tied to its process")
}

function count(figure: Html | string, label: string, tone = ""): Html {
  return html`<div class="count">
    <strong class="${tone}">${figure}</strong><span class="quiet">${label}</span>
  </div>`
}

/** The window that the one in force covers. */
export function coveredIn(
  windows: MaintenanceReport["windows"],
): MaintenanceReport["windows"][number] | undefined {
  return windows.filter(({ position }) => position !== "announced").at(-2)
}

/** The window that is being entered, if there is one. */
export function enteringIn({ windows }: MaintenanceReport): OpenWindow | undefined {
  return windows.findLast((window): window is OpenWindow => window.position === "entering")
}
