import { html } from "hono/html"
import { tokenName } from "../form-token"
import type { MaintenanceReport } from "../../index"
import { keep, type Values } from "../form-values"
import { confirmed, type Question } from "../questions"
import { blockersTable } from "./blockers"
import { type Frame, hidden } from "./frame"
import { durations } from "./switch"
import { type Blocker, clock, type Html, meaningOf, nameOf, numberOf } from "./words"

/** Details of a question. */
export interface Details {
  /** The form that is to be sent again. */
  readonly values: Values
  /** The transactions that would be waited for. */
  readonly blockers: readonly Blocker[]
}

/** Section with a question that is asked before an action, and the form that answers it. */
export function questionSection(question: Question, { values, blockers }: Details, frame: Frame): Html {
  const { heading, label, body } =
    question.kind === "transfer"
      ? transferQuestion(question.to)
      : switchQuestion(question, { values, blockers }, frame)
  // Every form has its own token.
  const fields = Object.fromEntries(Object.entries(values).filter(([name]) => name !== tokenName))
  return html`<section id="question" class="${question.kind === "switch" ? question.mode : ""}">
    <h2 tabindex="-1" autofocus>${heading}</h2>
    ${body}
    <form method="post" action="${frame.base}/actions/${question.kind}">
      ${hidden(frame, { ...fields, confirmed })}
      <div class="row">
        <button class="main">${label}</button>
        <button formaction="${frame.base}/form">Change nothing</button>
      </div>
    </form>
  </section>`
}

interface Asked {
  readonly heading: string
  readonly label: string
  readonly body: Html
}

/** The reason, the message and the ends that the window will have. */
function termsOf(
  { reason, message, expires = "", planned = "" }: Values,
  { expiresAt, plannedUntil }: MaintenanceReport,
): Html {
  const end = expires === keep && expiresAt ? html`at ${clock(expiresAt)}` : (labelOf(expires) ?? "never")
  const plan = planned === keep && plannedUntil ? html`until ${clock(plannedUntil)}` : labelOf(planned)
  return html`Reason: ${reason ? html`<bdi>${reason}</bdi>` : "none"}. Message:
  ${message ? html`<bdi>${message}</bdi>` : "none"}. Ends by itself:
  ${end}.${plan && html` Planned: ${plan}.`}`
}

/** The label of a duration. */
function labelOf(value: string): string | undefined {
  const label = durations.find(([known]) => known === value)?.[1]
  return label && `after ${label}`
}

function transferQuestion(to: string): Asked {
  return {
    heading: `Hand the window over to “${to}”?`,
    label: "Hand over",
    body: html`<p>
      Check the name: the panel cannot know whether there is such a user. Afterwards, only ${to} and emergency
      users can change this window.
    </p>`,
  }
}

function switchQuestion(
  { mode, user, report }: Extract<Question, { kind: "switch" }>,
  { values, blockers }: Details,
  frame: Frame,
): Asked {
  const { maintainer, reason, instances } = report
  const isTakeover = maintainer !== undefined && maintainer !== user
  const takeover = html`<p>
    ${maintainer} holds ${nameOf[report.mode].toLowerCase()} mode${reason && html` (“${reason}”)`}. That
    window ends, and yours begins.
  </p>`
  return {
    heading: isTakeover ? `Take over from ${maintainer}?` : `Enter ${mode} mode?`,
    label: isTakeover ? `Take over with ${mode} mode` : `Enter ${mode} mode`,
    body: html`${isTakeover && takeover}
      <p>${meaningOf[mode]}. Instances of the application: ${instances.length}.</p>
      <p>${termsOf(values, report)}</p>
      <p>
        ${
          blockers.length === 0
            ? "No transaction would be waited for now."
            : `${numberOf(blockers.length, "transaction")} would be waited for:`
        }
      </p>
      ${blockers.length > 0 && blockersTable(blockers, frame.showsQueries)}`,
  }
}
