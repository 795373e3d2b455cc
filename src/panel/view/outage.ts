import { html } from "hono/html"
import type { MaintenanceStatus } from "../../index"
import { documentOf } from "./document"
import { type Frame, guideLink } from "./frame"
import { type Html, nameOf } from "./words"

/** Content of the page for an outage. */
export interface Outage {
  readonly title: string
  readonly frame: Frame
  /** The status that this process knows. */
  readonly known: MaintenanceStatus | undefined
  /** Whether it may pass by itself. */
  readonly isPassing: boolean
  /** Outcome of an action. */
  readonly notice: string | undefined
  /** The details; undefined for viewers. */
  readonly why: string | undefined
  readonly guide: string | undefined
}

/** The page for a state that cannot be read. */
export function outagePage({ title, frame, known, isPassing, notice, why, guide }: Outage): Html {
  const heading = isPassing ? "The database does not answer" : "The state cannot be read"
  return documentOf({
    frame,
    heading: title,
    title: `${title}: ${heading.toLowerCase()}`,
    head: html`<meta http-equiv="refresh" content="5;url=${frame.base}/" />`,
    body: html`${notice && html`<p class="notice" role="alert">${notice}</p>`}
      <section>
        <h2>${heading}</h2>
        ${why && html`<p>${why}</p>`} ${guide && html`<p>${guideLink(guide)}</p>`}
        ${known && html`<p>The last known mode is ${nameOf[known.mode].toLowerCase()}.</p>`}
        <p>This page reloads every 5 seconds. <a href="${frame.base}/">Reload now</a></p>
      </section>`,
  })
}
