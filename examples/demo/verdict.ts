import type { Sales } from "./books"
import type { Story } from "./story"

/** Something that must hold, and whether it did. */
export interface Finding {
  readonly isGood: boolean
  readonly text: string
}

/** Holds the measurements to what is promised. */
export function judge({ phases, window, finalSales, finalCommits }: Story): Finding[] {
  const { concurrent, exclusive, normalAgain } = phases
  const { salesAtBegin: begin, salesAtEnd: end } = window
  return [
    {
      isGood: isSame(begin, end),
      text:
        `no write of others in the window, by the data: ${begin.logged} sales in the log before and ` +
        `${end.logged} after, ${begin.counted} and ${end.counted} by the products`,
    },
    {
      isGood: window.commits === 0,
      text: `no write of others in the window, by their own count: ${window.commits} commits`,
    },
    {
      isGood: concurrent.rebuild?.finishedInMs !== undefined && exclusive.rebuild?.finishedInMs !== undefined,
      text: "the rebuild got through in the window, both times",
    },
    {
      isGood: window.catalogErrors === 0,
      text: `the catalog agrees with the products: ${window.catalogErrors} differ`,
    },
    {
      isGood: concurrent.others.reads > 0 && concurrent.others.vetoes > 0,
      text: `in concurrent mode others read (${concurrent.others.reads}) and were vetoed (${concurrent.others.vetoes})`,
    },
    {
      isGood: exclusive.others.reads === 0 && exclusive.others.refusals > 0,
      text: `in exclusive mode others read nothing (${exclusive.others.reads}) and were refused (${exclusive.others.refusals})`,
    },
    {
      isGood: normalAgain.others.commits > 0 && normalAgain.others.vetoes + normalAgain.others.refusals === 0,
      text: `after leave() writes flow again: ${normalAgain.others.commits} commits, none refused`,
    },
    {
      isGood: finalSales.logged === finalCommits && finalSales.counted === finalCommits,
      text:
        `the books balance: ${finalSales.logged} sales in the log, ${finalSales.counted} by the products, ` +
        `${finalCommits} commits counted by the branches`,
    },
  ]
}

function isSame(one: Sales, other: Sales): boolean {
  return one.logged === other.logged && one.counted === other.counted
}
