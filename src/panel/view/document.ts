import { html, raw } from "hono/html"
import { assets } from "../assets"
import type { Frame } from "./frame"
import type { Html } from "./words"

/** The parts in which the documents of the panel differ. */
export interface Document {
  readonly frame: Frame
  readonly title: string
  readonly heading: string
  /** Attributes of the root. */
  readonly root?: Html
  readonly head: Html
  /** Whether the page is current; behind the heading. */
  readonly link?: Html
  readonly body: Html
}

/** A whole document with the style sheet of the panel. */
export function documentOf({ frame, title, heading, root, head, link, body }: Document): Html {
  const { base, viewer } = frame
  return html`${raw("<!doctype html>")}
    <html lang="en" ${root ?? ""}>
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <link rel="stylesheet" href="${base}/assets/${assets.css.name}" />
        ${head}
      </head>
      <body>
        <header class="top">
          <h1>${heading}</h1>
          ${link ?? ""}
          <p class="who">${viewer.user} · ${viewer.role}</p>
        </header>
        <main>${body}</main>
      </body>
    </html>`
}
