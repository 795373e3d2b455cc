import { html, raw } from "hono/html"
import { assets } from "../assets"
import type { Sight } from "../sight"
import { blockersSection } from "./blockers"
import type { Frame } from "./frame"
import { announcedSection, instancesSection, journalSection, refusalsSection } from "./lists"
import { nowSection } from "./now"
import { switchSection, type Values } from "./switch"
import { clock, type Html } from "./words"

/** A sentence at the top of the page: the outcome of an action, or the reason why there is none. */
export interface Notice {
  readonly text: string
  readonly isDone: boolean
  /** Time of a failure that the page was not waiting for. */
  readonly at?: Date
}

/** Content of a page besides the state. */
export interface PageOptions {
  readonly title: string
  /** Id of the window that the page of the journal follows; undefined for the first page. */
  readonly before?: string | undefined
  readonly notice?: Notice | undefined
  /** The form that was sent and not accepted, by the name of its section. */
  readonly values?: { readonly switch?: Values; readonly announced?: Values } | undefined
  /** The transactions that would be waited for, if that was asked. */
  readonly preflight?: Html | undefined
}

/** The parts of the page that are kept current, by their ids. A notice that is shown stays until there is another. */
export function partsOf(
  sight: Sight,
  frame: Frame,
  { isFirst, notice }: { readonly isFirst: boolean; readonly notice: Notice | undefined },
): Readonly<Record<string, Html>> {
  return {
    ...(notice && { notice: noticeSection(notice) }),
    now: nowSection(sight),
    blockers: blockersSection(sight, frame),
    switch: switchSection(sight, frame),
    announced: announcedSection(sight, frame),
    instances: instancesSection(sight),
    refusals: refusalsSection(sight),
    ...(isFirst && { journal: journalSection(sight, frame) }),
  }
}

/** The whole page. */
export function pageOf(
  sight: Sight,
  frame: Frame,
  { title, before, notice, values, preflight }: PageOptions,
): Html {
  const { base, viewer } = frame
  const query = before === undefined ? "" : `?before=${encodeURIComponent(before)}`
  return html`${raw("<!doctype html>")}
    <html lang="en" data-mode="${sight.report.mode}" data-events="${base}/events${query}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}: ${sight.report.state}</title>
        <link rel="stylesheet" href="${base}/assets/${assets.css.name}" />
        <script type="module" src="${base}/assets/${assets.js.name}"></script>
      </head>
      <body>
        <header class="top">
          <h1>${title}</h1>
          <p id="link"></p>
          <p class="who">${viewer.user} · ${viewer.role}</p>
        </header>
        <p id="said" class="unseen" role="status" aria-live="polite"></p>
        <main>
          ${noticeSection(notice)} ${nowSection(sight)} ${blockersSection(sight, frame)} ${preflight ?? ""}
          ${switchSection(sight, frame, values?.switch)} ${announcedSection(sight, frame, values?.announced)}
          ${instancesSection(sight)} ${refusalsSection(sight)} ${journalSection(sight, frame, before)}
        </main>
      </body>
    </html>`
}

function noticeSection(notice: Notice | undefined): Html {
  if (!notice) return html`<p id="notice" class="notice" hidden></p>`
  const { text, isDone, at } = notice
  return html`<p id="notice" class="notice ${isDone ? "done" : ""}" role="alert">
    ${at && html`${clock(at)}: `}${text}
  </p>`
}
