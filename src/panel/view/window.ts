import { html } from "hono/html"
import type { MaintenanceReport } from "../../index"
import { never } from "../form-values"
import type { Sight } from "../sight"
import { button, type Frame, hidden } from "./frame"
import { durations, select } from "./switch"
import { coveredIn } from "./now"
import type { Html } from "./words"

/** The label of the button that ends the window in force, and those that it covers. */
export function leaveLabel({ windows }: MaintenanceReport): string {
  return coveredIn(windows) ? "Leave (end this window and the one that it covers)" : "Leave (end this window)"
}

/** The duration by which a window is extended, unless another is chosen. */
const usualExtension = "1800000"

/**
 * Section with the forms that leave, extend and transfer the window in force. It is apart from the switch, so that it is
 * current while somebody fills in that form.
 */
export function windowSection({ report }: Sight, frame: Frame): Html {
  const { mode, state, maintainer, windowId = "" } = report
  if (mode === "normal") return html`<section id="window" hidden></section>`
  const why = frame.whyNot(maintainer)
  const off = why ? "disabled" : ""
  const leave = button(frame, {
    action: "leave",
    label: leaveLabel(report),
    why,
    fields: { windowId },
  })
  const extend = select("expires", [...durations, [never, "never"]], { expires: usualExtension })
  return html`<section id="window">
    <h2>Window of ${maintainer}</h2>
    <div class="row">
      ${state !== "entering" && html`<div class="leave">${leave}</div>`}
      <form method="post" action="${frame.base}/actions/extend">
        ${hidden(frame, { windowId })}
        <fieldset class="row" ${off}>
          <label>New end, from now${extend}</label>
          <button>Extend</button>
        </fieldset>
      </form>
      <form method="post" action="${frame.base}/actions/transfer">
        ${hidden(frame, { windowId })}
        <fieldset class="row" ${off}>
          <label
            >New maintainer<input type="text" name="to" maxlength="200" required autocomplete="off"
          /></label>
          <button>Transfer</button>
        </fieldset>
      </form>
    </div>
  </section>`
}
