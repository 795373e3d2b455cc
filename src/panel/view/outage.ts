import { html, raw } from "hono/html"
import type { MaintenanceStatus } from "../../index"
import { assets } from "../assets"
import type { Frame } from "./frame"
import { type Html, nameOf } from "./words"

/** The page for the time in which the database does not answer. */
export function outagePage({
  title,
  frame: { base, viewer },
  text,
  known,
}: {
  readonly title: string
  readonly frame: Frame
  readonly text: string
  readonly known: MaintenanceStatus | undefined
}): Html {
  return html`${raw("<!doctype html>")}
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta http-equiv="refresh" content="5" />
        <title>${title}: the database does not answer</title>
        <link rel="stylesheet" href="${base}/assets/${assets.css.name}" />
      </head>
      <body>
        <header class="top">
          <h1>${title}</h1>
          <p class="who">${viewer.user} · ${viewer.role}</p>
        </header>
        <main>
          <p class="notice" role="alert">${text}</p>
          <section>
            <h2>The database does not answer</h2>
            ${known && html`<p>The mode was ${nameOf[known.mode].toLowerCase()} when this process heard of it last.</p>`}
            <p>This page tries again every 5 seconds.</p>
            <p><a href="${base}/">Try again now</a></p>
          </section>
        </main>
      </body>
    </html>`
}
