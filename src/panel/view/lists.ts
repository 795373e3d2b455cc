import { html } from "hono/html"
import type { Instance, MaintenanceWindow, MinuteOfRefusals, PastWindow } from "../../index"
import type { Values } from "../form-values"
import { journalPage, type Sight } from "../sight"
import { asSent, button, type Frame, hidden } from "./frame"
import { select, windowFields } from "./switch"
import { type Column, scrollTable } from "./table"
import { clock, duration, type Html, nameOf, number, numberOf, until } from "./words"

/** Number of instances that are listed. */
const listedInstances = 20
/** Shown for a history that could not be read. */
const unread = html`<p class="late">
  This could not be read: no database connection was free. The page retries.
</p>`
/** Minutes that the chart shows. */
const chartMinutes = 60

/** The processes that take part, and what they know. */
export function instancesSection({ report }: Sight): Html {
  const { instances, epoch } = report
  const knows = (instance: Instance) => instance.epoch >= epoch
  // Those that need attention come first.
  const sorted = [...instances].sort(
    (one, other) => Number(knows(one)) - Number(knows(other)) || other.refusals - one.refusals,
  )
  const rows = sorted.slice(0, listedInstances).map(
    (instance) =>
      html`<tr>
        <td title="${instance.host}">${instance.host} <span class="code quiet">:${instance.pid}</span></td>
        <td>
          ${knows(instance) ? html`<span class="good">knows</span>` : html`<span class="late">not yet</span>`}
        </td>
        <td class="number">${number(instance.refusals)} refused</td>
      </tr>`,
  )
  const more = instances.length - rows.length
  return html`<section id="instances" class="half">
    <h2>Instances · ${instances.filter(knows).length} of ${instances.length} know the mode</h2>
    ${instances.length === 0 && html`<p class="quiet">No instance is connected.</p>`}
    <table>
      <thead class="unseen">
        <tr>
          <th scope="col">process</th>
          <th scope="col">knows the mode</th>
          <th scope="col">refused</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
    ${more > 0 && html`<p class="quiet">and ${more} more</p>`}
  </section>`
}

/** The refusals of the last hour, by minute, and what they were. */
export function refusalsSection({ history: { refusals }, at }: Sight): Html {
  if (!refusals)
    return html`<section id="refusals" class="half">
      <h2>Refusals per minute</h2>
      ${unread}
    </section>`
  const now = Math.floor(at.getTime() / 60_000)
  const byMinute = sums(refusals, ({ minute }) => Math.floor(minute.getTime() / 60_000))
  const counts = Array.from(
    { length: chartMinutes },
    (_, index) => byMinute.get(now - chartMinutes + 1 + index) ?? 0,
  )
  const most = Math.max(1, ...counts)
  const bars = counts.map((count, index) => {
    const height = count === 0 ? 0 : Math.max(2, Math.round((76 * count) / most))
    return html`<rect x="${index * 10}" y="${78 - height}" width="8" height="${height}" rx="1.5"></rect>`
  })
  const total = counts.reduce((sum, count) => sum + count, 0)
  return html`<section id="refusals" class="half">
    <h2>Refusals per minute</h2>
    <svg
      class="chart"
      viewBox="0 0 600 80"
      preserveAspectRatio="none"
      role="img"
      aria-label="${numberOf(total, "refusal")} in the last hour${total > 0 && `, at most ${number(most)} a minute`}"
    >
      <line x1="0" y1="79" x2="600" y2="79"></line>
      ${bars}
    </svg>
    <p class="axis quiet">
      <span>an hour ago</span>${total > 0 && html`<span>peak ${number(most)}</span>`}<span>now</span>
    </p>
    <p>Last hour: ${numberOf(total, "refusal")}</p>
    <table>
      <tbody>
        ${kinds(refusals).map(
          ([kind, count]) =>
            html`<tr>
              <td>${kind}</td>
              <td class="number middle">${number(count)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`
}

/** The numbers of refusals by a property. */
function sums<Key>(
  refusals: readonly MinuteOfRefusals[],
  keyOf: (refusal: MinuteOfRefusals) => Key,
): Map<Key, number> {
  const counts = new Map<Key, number>()
  for (const refusal of refusals) {
    const key = keyOf(refusal)
    counts.set(key, (counts.get(key) ?? 0) + refusal.count)
  }
  return counts
}

/** The most frequent kinds of refusals. */
function kinds(refusals: readonly MinuteOfRefusals[]): readonly (readonly [string, number])[] {
  const counts = sums(refusals, ({ entity, operation }) =>
    entity === undefined ? "reads and plain SQL" : `${entity} · ${operation}`,
  )
  return [...counts].sort(([, one], [, other]) => other - one).slice(0, 5)
}

const announcedModes = (["concurrent", "exclusive"] as const).map((mode) => [mode, nameOf[mode]] as const)

type Announced = Extract<MaintenanceWindow, { position: "announced" }>

/** The windows that are announced, and a form for another one. */
export function announcedSection({ report, at }: Sight, frame: Frame, sent?: Values): Html {
  const values = sent ?? {}
  const announced = report.windows.filter((window): window is Announced => window.position === "announced")
  const rows = announced.map(
    (window) =>
      html`<li>
        <b>${clock(window.startsAt)}</b>
        <span class="quiet">in ${until(window.startsAt, at)}</span>
        <span>${window.mode}${lengthOf(window)}, by ${window.maintainer}</span>
        <span class="grow quiet"
          >${window.reason && html`<bdi>${window.reason}</bdi>`}${window.message && html` “<bdi>${window.message}</bdi>”`}</span
        >
        ${cancelButton(window, frame)}
      </li>`,
  )
  const why = frame.whyNot(undefined)
  const hasOwn = announced.some(({ maintainer }) => maintainer === frame.viewer.user)
  return html`<section id="announced" ${asSent(sent)}>
    <h2>Announced</h2>
    ${
      rows.length > 0
        ? html`<ul class="rows">
            ${rows}
          </ul>`
        : html`<p class="quiet">Nothing is announced.</p>`
    }
    <details ${sent ? "open" : ""}>
      <summary>Announce a window</summary>
      <form method="post" action="${frame.base}/actions/announce">
        ${hidden(frame, { zone: "" })}
        <fieldset class="fields" ${why ? "disabled" : ""}>
          <label
            >Begins at<input type="datetime-local" name="starts" value="${values["starts"] ?? ""}" required
          /></label>
          <label>Mode${select("mode", announcedModes, values)}</label>
          ${windowFields(values)}
        </fieldset>
        ${hasOwn && html`<p class="quiet">It replaces those of your announced windows that it overlaps with.</p>`}
        <div class="row">
          <button ${why ? "disabled" : ""}>Announce</button>
          <p class="quiet">${why ?? html`<span data-zone>The time is in UTC.</span>`}</p>
        </div>
      </form>
    </details>
  </section>`
}

/** The length of an announced window. */
function lengthOf({ expiresInMs, plannedUntil, startsAt }: Announced): string {
  if (expiresInMs !== undefined) return ` for ${duration(expiresInMs)}`
  const planned = plannedUntil && duration(plannedUntil.getTime() - startsAt.getTime())
  return planned ? `, planned for ${planned}, without an end` : ", without an end"
}

function cancelButton({ id, maintainer }: Announced, frame: Frame): Html {
  const why = frame.whyNot(maintainer)
  return html`<span class="end">
    ${why && html`<small class="quiet">${why}</small>`}
    ${button(frame, { action: "cancel", label: "Cancel", why, fields: { id } })}
  </span>`
}

const journalColumns: readonly Column[] = [
  ["begun", "middle"],
  ["lasted", "seven"],
  ["mode", "seven"],
  ["by", "seven"],
  ["reason"],
  ["how it ended", "twelve"],
  ["refused", "number narrow"],
]

/** A page of the windows that are over. */
export function journalSection({ history: { journal } }: Sight, { base }: Frame, before?: string): Html {
  if (!journal)
    return html`<section id="journal">
      <h2>Journal</h2>
      ${unread}
    </section>`
  const shown = journal.slice(0, journalPage)
  const rows = shown.map((window) => journalRow(window))
  const next = journal.length > journalPage ? shown.at(-1)?.id : undefined
  return html`<section id="journal">
    <h2>Journal</h2>
    ${
      rows.length === 0
        ? html`<p class="quiet">
            ${before === undefined ? "No window has ended yet." : "There are no older windows."}
          </p>`
        : scrollTable("Journal", journalColumns, rows)
    }
    <p class="pages">
      ${before !== undefined && html`<a href="${base}/#journal">Latest</a>`}
      ${next !== undefined && html`<a href="${base}/?before=${encodeURIComponent(next)}#journal">Older</a>`}
    </p>
  </section>`
}

function journalRow({
  begunAt,
  startsAt,
  endedAt,
  mode,
  maintainer,
  reason,
  endedBecause,
  endedBy,
  refusals,
}: PastWindow): Html {
  const by = endedBy === undefined || endedBy === maintainer ? "" : ` by ${endedBy}`
  const end = `${begunAt === undefined && endedBecause === "switched" ? "superseded" : endedBecause}${by}`
  return html`<tr>
    <td>${begunAt ? clock(begunAt) : startsAt ? html`for ${clock(startsAt)}` : "–"}</td>
    <td>${begunAt ? duration(endedAt.getTime() - begunAt.getTime()) : "–"}</td>
    <td>${mode}</td>
    <td title="${maintainer}">${maintainer}</td>
    <td title="${reason ?? ""}">${reason ?? ""}</td>
    <td title="${end}">${end}</td>
    <td class="number">${number(refusals.reduce((sum, { count }) => sum + count, 0))}</td>
  </tr>`
}
