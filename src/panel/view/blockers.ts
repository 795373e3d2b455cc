import { html } from "hono/html"
import type { MaintenanceReport, Mode } from "../../index"
import type { Sight } from "../sight"
import { button, type Frame } from "./frame"
import { drainEnd } from "./now"
import { type Blocker, duration, type Html } from "./words"

/** The transactions that are waited for while a window is being entered, with a bar to the deadline. */
export function blockersSection({ report, blockers }: Sight, frame: Frame): Html {
  if (report.state !== "entering") return html`<section id="blockers" hidden></section>`
  const entering = report.windows.findLast(({ position }) => position === "entering")
  const from = entering?.position === "entering" ? entering.begunAt : undefined
  const until = drainEnd(report)
  const bar =
    from && until
      ? html`<progress
          value="0"
          data-from="${from.toISOString()}"
          data-until="${until.toISOString()}"
          aria-label="Time until the deadline"
        ></progress>`
      : ""
  return html`<section id="blockers">
    <h2>Who is waited for</h2>
    ${bar} ${blockersTable(blockers, frame.showsQueries)}
    <div class="row">${breakOff(report, frame)}</div>
  </section>`
}

/** The transactions that would be waited for. */
export function preflightSection(blockers: readonly Blocker[], mode: Mode, showsQueries: boolean): Html {
  return html`<section id="preflight">
    <h2>
      ${
        blockers.length === 0
          ? html`Nobody would be waited for now, to enter ${mode} mode`
          : html`Would be waited for, to enter ${mode} mode: ${blockers.length}`
      }
    </h2>
    ${blockers.length > 0 && blockersTable(blockers, showsQueries)}
  </section>`
}

function breakOff({ maintainer, windowId = "" }: MaintenanceReport, frame: Frame): Html {
  const why = frame.whyNot(maintainer)
  return html`${button(frame, { action: "break-off", label: "Break off", why, fields: { windowId } })}
    <p class="quiet">${why ?? "Nothing is cancelled or terminated unless that was asked for."}</p>`
}

function blockersTable(blockers: readonly Blocker[], showsQueries: boolean): Html {
  const rows = blockers.map(
    (blocker) =>
      html`<tr>
        <td>${blocker.pid ?? "–"}</td>
        <td title="${blocker.application ?? ""}">
          ${blocker.pid === undefined ? `prepared: ${blocker.transaction}` : (blocker.application ?? "")}
        </td>
        <td>${blocker.user ?? ""}</td>
        <td class="number">${blocker.ageMs === undefined ? "?" : duration(blocker.ageMs)}</td>
        <td>${blocker.isHidden ? "hidden" : blocker.state}</td>
        <td>${blocker.hasWritten ? "yes" : "no"}</td>
        ${showsQueries && html`<td class="code" title="${blocker.query ?? ""}">${blocker.query ?? "–"}</td>`}
      </tr>`,
  )
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Transactions">
    <table>
      <thead>
        <tr>
          <th scope="col" class="narrow">process</th>
          <th scope="col">application</th>
          <th scope="col" class="seven">user</th>
          <th scope="col" class="narrow number">age</th>
          <th scope="col" class="ten">state</th>
          <th scope="col" class="narrow">wrote</th>
          ${showsQueries && html`<th scope="col">statement</th>`}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`
}
