import { html } from "hono/html"
import type { Html } from "./words"

/** The head of a column, and the class that gives its width; without one it takes what is left. */
export type Column = readonly [title: string, className?: string]

/** A table that scrolls sideways where there is not enough room. `label` names it for screen readers. */
export function scrollTable(label: string, columns: readonly Column[], rows: readonly Html[]): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${label}">
    <table>
      <thead>
        <tr>
          ${columns.map(([title, className = ""]) => html`<th scope="col" class="${className}">${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`
}
