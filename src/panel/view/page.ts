import { html } from "hono/html"
import { assets } from "../assets"
import type { Notice, SentForms } from "../outcomes"
import type { Sight } from "../sight"
import { blockersSection } from "./blockers"
import { documentOf } from "./document"
import { type Frame, guideLink } from "./frame"
import { announcedSection, instancesSection, journalSection, refusalsSection } from "./lists"
import { nowSection } from "./now"
import { switchSection } from "./switch"
import { windowSection } from "./window"
import { clock, type Html } from "./words"

/** Content of a page besides the state. */
export interface PageOptions {
  readonly title: string
  /** Id of the window that the page of the journal follows; undefined for the first page. */
  readonly before?: string | undefined
  readonly notice?: Notice | undefined
  /** The form that was sent and not accepted, by the name of its section. */
  readonly values?: SentForms | undefined
  /** A section that this page alone has: a question, or the transactions that would be waited for. */
  readonly section?: Html | undefined
}

/** The parts of the page that are kept current, by their ids. A notice that is shown stays until there is another. */
export function partsOf(
  sight: Sight,
  frame: Frame,
  {
    isFirst,
    notice,
    values,
  }: { readonly isFirst: boolean; readonly notice: Notice | undefined; readonly values: SentForms },
): Readonly<Record<string, Html>> {
  return {
    ...(notice && { notice: noticeSection(notice) }),
    now: nowSection(sight),
    blockers: blockersSection(sight, frame),
    switch: switchSection(sight, frame, values.switch),
    window: windowSection(sight, frame),
    announced: announcedSection(sight, frame, values.announced),
    instances: instancesSection(sight),
    refusals: refusalsSection(sight),
    ...(isFirst && { journal: journalSection(sight, frame) }),
  }
}

/** The whole page. */
export function pageOf(
  sight: Sight,
  frame: Frame,
  { title, before, notice, values, section }: PageOptions,
): Html {
  const { base } = frame
  const { mode } = sight.report
  const query = before === undefined ? "" : `?before=${encodeURIComponent(before)}`
  return documentOf({
    frame,
    heading: title,
    title: `${title}: ${sight.report.state}`,
    root: html`data-mode="${mode}" data-state="${sight.report.state}" data-now="${sight.at.getTime()}"
    data-home="${base}/" data-events="${base}/events${query}"`,
    head: html`<script type="module" src="${base}/assets/${assets.js.name}"></script>`,
    link: html`<p id="link"></p>
      <noscript>Reload the page to see changes.</noscript>`,
    body: html`<p id="said" class="unseen" role="status" aria-live="polite"></p>
      ${noticeSection(notice)} ${nowSection(sight)} ${blockersSection(sight, frame)} ${section ?? ""}
      ${switchSection(sight, frame, values?.switch)} ${windowSection(sight, frame)}
      ${announcedSection(sight, frame, values?.announced)} ${instancesSection(sight)}
      ${refusalsSection(sight)} ${journalSection(sight, frame, before)}`,
  })
}

function noticeSection(notice: Notice | undefined): Html {
  if (!notice) return html`<p id="notice" class="notice" hidden></p>`
  const { text, isDone, at, guide } = notice
  return html`<p id="notice" class="notice ${isDone ? "done" : ""}" role="alert" tabindex="-1" autofocus>
    ${at && html`${clock(at)}: `}<span>${text}</span>${guide && html` ${guideLink(guide)}`}
  </p>`
}
