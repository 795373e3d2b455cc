import { html } from "hono/html"
import type { MaintenanceReport, Mode } from "../../index"
import { keep, never, type Values } from "../form-values"
import type { Sight } from "../sight"
import { asSent, type Frame, hidden } from "./frame"
import { type Html, meaningOf, nameOf } from "./words"

/** Values and labels of the choices of a field. */
export type Choices = readonly (readonly [string, string])[]

const modes = ["normal", "concurrent", "exclusive"] as const

/** Choices of a duration, in milliseconds. */
export const durations: Choices = [
  ["300000", "5 min"],
  ["900000", "15 min"],
  ["1800000", "30 min"],
  ["3600000", "1 hour"],
  ["7200000", "2 hours"],
  ["14400000", "4 hours"],
  ["28800000", "8 hours"],
  ["86400000", "1 day"],
]
const drains: Choices = [
  ["", "30 s (default)"],
  ["10000", "10 s"],
  ["60000", "1 min"],
  ["300000", "5 min"],
  ["900000", "15 min"],
]
const outcomes: Choices = [
  ["", "default"],
  ["abandon", "restore the previous mode"],
  ["proceed", "proceed without them"],
  ["cancel", "cancel their statements"],
  ["terminate", "terminate their sessions"],
]

/** Section with the form that switches the mode. */
export function switchSection({ report }: Sight, frame: Frame, sent?: Values): Html {
  const values = sent ?? {}
  const why = frame.whyNot(report.maintainer)
  return html`<section id="switch" ${asSent(sent)}>
    <h2 id="switch-title">Mode</h2>
    ${why && html`<p>${why}</p>`}
    <p class="late" data-outdated hidden>
      The mode has changed since you began this form. Reload the page before you send it.
    </p>
    <form method="post" action="${frame.base}/actions/switch" aria-labelledby="switch-title">
      ${hidden(frame, { windowId: report.windowId ?? "" })}
      <fieldset>
        <legend class="unseen">Mode</legend>
        <div class="modes">
          ${modes.map((mode) => modeChoice(mode, report, values["mode"] ?? report.mode))}
        </div>
      </fieldset>
      <fieldset class="fields" ${why ? "disabled" : ""}>
        ${windowFields(values, report.mode === "normal" ? undefined : report)}
      </fieldset>
      <div class="row">
        <button class="main" ${why ? html`disabled title="${why}"` : ""}>Apply</button>
        <button formaction="${frame.base}/preflight">Show blockers</button>
        <p class="quiet">${why ? "" : rule(report, frame)}</p>
      </div>
    </form>
  </section>`
}

/** The fields that the switch and an announcement share. `current` is the window that a new one replaces. */
export function windowFields(values: Values, current?: MaintenanceReport): Html {
  const expires: Choices = [...kept(current?.expiresAt), [never, "never"], ...durations]
  // A plan can be replaced, but not removed.
  const planned: Choices = [
    ...(current?.plannedUntil ? kept(current.plannedUntil) : [["", "not set"] as const]),
    ...durations,
  ]
  const text = (name: "reason" | "message") => values[name] ?? current?.[name] ?? ""
  return html`${textField("Reason, for operators", "reason", text("reason"), 1000)}
    ${textField("Message, for the public", "message", text("message"), 2000)}
    <label>Ends by itself after${select("expires", expires, values)}</label>
    <label>Planned for${select("planned", planned, values)}</label>
    <label>Wait for transactions${select("drain", drains, values)}</label>
    <label>If some remain${select("outcome", outcomes, values)}</label>
    <p class="quiet">
      By default, concurrent mode waits only for commits under way, and exclusive mode for all transactions;
      if some remain, the previous mode is restored. With a time of your choice, concurrent mode waits for all
      transactions, and then proceeds without those that remain.
    </p>`
}

function textField(label: string, name: string, value: string, maxLength: number): Html {
  return html`<label class="wide"
    >${label}<input type="text" name="${name}" maxlength="${maxLength}" value="${value}" autocomplete="off"
  /></label>`
}

/** The choice to keep an end, if there is one. */
function kept(end: Date | undefined): Choices {
  return end ? [[keep, "as it is now"]] : []
}

function modeChoice(mode: Mode, { mode: inForce }: MaintenanceReport, chosen: string): Html {
  return html`<label class="${mode}"
    ><input type="radio" name="mode" value="${mode}" ${mode === chosen ? "checked" : ""} /><b
      >${nameOf[mode]}</b
    >${mode === inForce && html` <span class="quiet">now</span>`}<small>${meaningOf[mode]}</small></label
  >`
}

/** A field with choices, of which the one in the values is chosen, or else the first. */
export function select(name: string, choices: Choices, values: Values): Html {
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
    ? "You hold this window. Only you and emergency users can change it."
    : `${maintainer} holds this window. As an emergency user, you take it over by applying a mode, and end it by leaving.`
}
