import { html } from "hono/html"
import type { MaintenanceReport, Mode } from "../../index"
import type { Sight } from "../sight"
import { asSent, button, type Frame, hidden } from "./frame"
import { type Html, meaningOf, nameOf } from "./words"

/** The values of a form, by the names of its fields. */
export type Values = Readonly<Record<string, string>>

const modes = ["normal", "concurrent", "exclusive"] as const

/** The choice that keeps an end of the window as it is. */
export const keep = "keep"

/** Choices of a duration, in milliseconds. */
const durations: readonly (readonly [string, string])[] = [
  ["", "not given"],
  ["300000", "5 min"],
  ["900000", "15 min"],
  ["1800000", "30 min"],
  ["3600000", "1 hour"],
  ["7200000", "2 hours"],
  ["14400000", "4 hours"],
  ["28800000", "8 hours"],
  ["86400000", "1 day"],
]
const drains: readonly (readonly [string, string])[] = [
  ["", "30 s, as usual"],
  ["10000", "10 s"],
  ["60000", "1 min"],
  ["300000", "5 min"],
  ["900000", "15 min"],
]
const outcomes: readonly (readonly [string, string])[] = [
  ["", "as usual"],
  ["abandon", "go back"],
  ["proceed", "go on without them"],
  ["cancel", "cancel their statements"],
  ["terminate", "terminate their sessions"],
]

/** The switch with its three positions, and what can be done with the window that stands. */
export function switchSection({ report }: Sight, frame: Frame, sent?: Values): Html {
  const values = sent ?? {}
  const why = frame.whyNot(report.maintainer)
  return html`<section id="switch" ${asSent(sent)}>
    <h2 id="switch-title">Mode</h2>
    <form method="post" action="${frame.base}/actions/switch" aria-labelledby="switch-title">
      ${hidden(frame, { windowId: report.windowId ?? "" })}
      <fieldset ${why ? "disabled" : ""}>
        <legend class="unseen">Mode</legend>
        <div class="positions">
          ${modes.map((mode) => position(mode, (values["mode"] ?? report.mode) === mode))}
        </div>
      </fieldset>
      <fieldset class="fields" ${why ? "disabled" : ""}>
        ${windowFields(values, report)}
        <label>Wait for others${select("drain", drains, values)}</label>
        <label>Then, for those left${select("outcome", outcomes, values)}</label>
      </fieldset>
      <div class="row">
        <button class="main" ${why ? "disabled" : ""}>Apply</button>
        <button formaction="${frame.base}/preflight" ${why ? "disabled" : ""}>
          Who would be waited for?
        </button>
        <p class="quiet">${why ?? rule(report, frame)}</p>
      </div>
    </form>
    ${report.mode !== "normal" && standing(report, frame, why)}
  </section>`
}

/** The fields that the switch and an announcement share. */
export function windowFields(values: Values, report?: MaintenanceReport): Html {
  const text = (name: string, fallback = "") => values[name] ?? fallback
  return html`<label class="wide"
      >Reason, for operators<input
        type="text"
        name="reason"
        maxlength="1000"
        value="${text("reason", report?.reason)}"
        autocomplete="off"
    /></label>
    <label class="wide"
      >Message, for the public<input
        type="text"
        name="message"
        maxlength="2000"
        value="${text("message", report?.message)}"
        autocomplete="off"
    /></label>
    <label
      >Ends by itself
      after${select("expires", [...kept(report?.expiresAt), ["", "never"], ...durations.slice(1)], values)}</label
    >
    <label>Planned to last${select("planned", [...kept(report?.plannedUntil), ...durations], values)}</label>`
}

/** The choice to keep an end, if there is one. */
function kept(end: Date | undefined): readonly (readonly [string, string])[] {
  return end && end > new Date() ? [[keep, "as it is now"]] : []
}

function position(mode: Mode, isChosen: boolean): Html {
  return html`<label class="${mode}"
    ><input type="radio" name="mode" value="${mode}" ${isChosen ? "checked" : ""} /><b>${nameOf[mode]}</b
    ><small>${meaningOf[mode]}</small></label
  >`
}

function select(name: string, choices: readonly (readonly [string, string])[], values: Values): Html {
  const options = choices.map(
    ([value, label]) =>
      html`<option value="${value}" ${values[name] === value ? "selected" : ""}>${label}</option>`,
  )
  return html`<select name="${name}">
    ${options}
  </select>`
}

function rule({ maintainer }: MaintenanceReport, { viewer }: Frame): string {
  if (maintainer === undefined) return ""
  return maintainer === viewer.user
    ? "Only you and emergency users can change this."
    : `${maintainer} holds the window. You may change it as an emergency user.`
}

/** Extend, transfer and leave. */
function standing({ windowId = "" }: MaintenanceReport, frame: Frame, why: string | undefined): Html {
  const off = why ? "disabled" : ""
  return html`<div class="row standing">
    <form method="post" action="${frame.base}/actions/extend">
      ${hidden(frame, { windowId })}
      <label
        >New end, from
        now${html`<select name="expires" ${off}>
          ${[["", "never"], ...durations.slice(1)].map(([value, label]) => html`<option value="${value}">${label}</option>`)}
        </select>`}</label
      >
      <button ${off}>Extend</button>
    </form>
    <form method="post" action="${frame.base}/actions/transfer">
      ${hidden(frame, { windowId })}
      <label
        >New maintainer<input type="text" name="to" maxlength="200" required ${off} autocomplete="off"
      /></label>
      <button ${off}>Transfer</button>
    </form>
    ${button(frame, { action: "leave", label: "Leave", why, fields: { windowId } })}
  </div>`
}
