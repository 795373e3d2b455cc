import { html } from "hono/html"
import type { Viewer } from "../access"
import { tokenName } from "../form-token"
import type { Html } from "./words"

/** Values that all parts of a page share: the viewer, and the target of the forms. */
export interface Frame {
  readonly viewer: Viewer
  /** The path of the panel, without a slash at its end. */
  readonly base: string
  readonly token: string
  /** Whether the SQL of blockers is shown. */
  readonly showsQueries: boolean
  /** Whether this process is entering a window for the viewer. */
  readonly isEntering: boolean
  /** Reason for which this viewer cannot change a window of this maintainer; undefined if that is allowed. */
  whyNot(maintainer: string | undefined): string | undefined
}

/** Marks a section that shows a form as it was sent, so that the script does not replace it. */
export function asSent(values: unknown): Html | "" {
  return values ? html`data-touched="true"` : ""
}

/** A link to the guide that says what to do. The page stays open beside it. */
export function guideLink(guide: string): Html {
  return html`<a href="${guide}" target="_blank" rel="noopener">What to do</a>`
}

/** The hidden fields of every form. */
export function hidden({ token }: Frame, fields: Readonly<Record<string, string>> = {}): Html {
  const rest = Object.entries(fields).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`,
  )
  return html`<input type="hidden" name="${tokenName}" value="${token}" />${rest}`
}

/** A button and its form. */
export interface Button {
  readonly action: string
  readonly label: string
  /** Reason for which it is disabled. */
  readonly why: string | undefined
  readonly fields?: Readonly<Record<string, string>>
}

/** A form with a single button; disabled with the reason, if there is one. */
export function button(frame: Frame, { action, label, why, fields = {} }: Button): Html {
  return html`<form method="post" action="${frame.base}/actions/${action}">
    ${hidden(frame, fields)}
    <button ${why ? html`disabled title="${why}"` : ""}>${label}</button>
  </form>`
}
