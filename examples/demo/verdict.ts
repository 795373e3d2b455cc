import type { Story } from "./story"
import type { Tally } from "./tally"

/** A requirement, and whether it was met. */
export interface Finding {
  readonly isGood: boolean
  readonly text: string
}

/** Checks the measurements against the guarantees. */
export function judge({ phases, window, finalSales, finalCommits }: Story): Finding[] {
  const { concurrent, exclusive, normalAgain } = phases
  const { salesAtBegin: begin, salesAtEnd: end } = window
  return [
    {
      isGood: end.logged === begin.logged,
      text: `${end.logged - begin.logged} sales logged in the window: ${begin.logged} before it, ${end.logged} at its end`,
    },
    {
      isGood: end.counted === begin.counted,
      text: `${end.counted - begin.counted} sales by the products: ${begin.counted} before it, ${end.counted} at its end`,
    },
    {
      isGood: window.commits === 0,
      text: `${window.commits} commits in the window by the branches' own count`,
    },
    {
      isGood: concurrent.rebuild?.finishedInMs !== undefined && exclusive.rebuild?.finishedInMs !== undefined,
      text: "the rebuild finishes in the window, in either mode",
    },
    {
      isGood: window.catalogErrors === 0,
      text: `${window.catalogErrors} products differ from their catalog entry after the rebuilds`,
    },
    {
      isGood: concurrent.others.reads > 0 && concurrent.others.vetoes > 0,
      text: `concurrent: others read ${concurrent.others.reads} pages and met ${concurrent.others.vetoes} vetoes`,
    },
    {
      isGood: exclusive.others.reads === 0 && exclusive.others.refusals > 0,
      text: `exclusive: others read ${exclusive.others.reads} pages and met ${exclusive.others.refusals} refusals`,
    },
    {
      isGood: normalAgain.others.commits > 0 && normalAgain.others.vetoes === 0,
      text: `after leave() writes flow again: ${describeReturn(normalAgain.others)}`,
    },
    {
      isGood: finalSales.logged === finalCommits && finalSales.counted === finalCommits,
      text:
        `the books balance: ${finalSales.logged} sales logged, ${finalSales.counted} by the products, ` +
        `${finalCommits} commits`,
    },
  ]
}

/** A branch may refuse from memory for an instant after `leave()`, until it has seen the new mode. */
function describeReturn({ commits, refusals }: Tally): string {
  return `${commits} commits${refusals > 0 ? `, after ${refusals} last refusals` : ""}`
}
