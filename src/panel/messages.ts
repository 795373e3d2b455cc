import {
  DrainTimeoutError,
  EnteringInterruptedError,
  MaintenanceSetupError,
  NotMaintainerError,
  OutcomeUnknownError,
  StateUnavailableError,
  WindowEndedError,
} from "../index"

const runbook =
  "https://github.com/typeorm-maintenance-mode/typeorm-maintenance-mode/blob/main/docs/guides/operating.md"

/** The places of the runbook, by the errors that lead there. */
const places = [
  [NotMaintainerError, "somebody-else-holds-it"],
  [DrainTimeoutError, "who-blocks"],
  [WindowEndedError, "what-happened-last-night"],
  [StateUnavailableError, "the-database-does-not-answer"],
  [MaintenanceSetupError, "the-installation-is-wrong"],
  [OutcomeUnknownError, "the-outcome-is-unknown"],
  [EnteringInterruptedError, "the-outcome-is-unknown"],
] as const

/** The address of the guide that says what to do about an error, if there is one. */
export function guideFor(error: unknown): string | undefined {
  const place = places.find(([Kind]) => error instanceof Kind)
  return place && `${runbook}#${place[1]}`
}

/** The text of an error, with its details for operators, in the words of the page. */
export function messageOf(error: unknown): string {
  const { detailedMessage, message } = error as { detailedMessage?: string; message: string }
  return wordings.reduce(
    (text, [pattern, words]) => text.replaceAll(pattern, words),
    detailedMessage ?? message,
  )
}

/** Names of options and calls in the errors of the API, and the words of the page. */
const wordings: readonly (readonly [RegExp, string])[] = [
  [/(?:The option )?\bexpiresInMs\b/g, '"Ends by itself after"'],
  [/(?:The option )?\bplannedForMs\b/g, '"Planned for"'],
  [/(?:The option )?\bdrain\.withinMs\b/g, '"Wait for transactions"'],
  [/\bdrain\.then: "(\w+)"/g, '"If some remain: $1"'],
  [/(?:The option )?\bdrain\.then\b/g, '"If some remain"'],
  [/(?:The option )?\bstartsAt\b/g, '"Begins at"'],
  [/The option (reason|message)\b/g, "The $1"],
  [/The user in the option "(?:as|to)"/g, "The user"],
  [/\bCall leave\(\)/g, "Leave"],
  [/ If that is expected, pass ifHeld: true\./g, ""],
  [/\bstatus\(\)\.windows\b/g, "this page"],
  [/\bstatus\(\)/g, "this page"],
]
