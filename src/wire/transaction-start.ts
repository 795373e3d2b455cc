const mode = String.raw`(?:isolation\s+level\s+(?:serializable|repeatable\s+read|read\s+committed|read\s+uncommitted)|read\s+(?:only|write)|(?:not\s+)?deferrable)`
const modes = String.raw`${mode}(?:(?:\s*,\s*|\s+)${mode})*`
const begin = new RegExp(String.raw`^\s*begin(?:\s+(?:work|transaction))?(?:\s+${modes})?\s*;?\s*$`, "i")
const start = new RegExp(String.raw`^\s*start\s+transaction(?:\s+${modes})?\s*;?\s*$`, "i")
const set = new RegExp(String.raw`^\s*set\s+transaction\s+${modes}\s*;?\s*$`, "i")

/**
 * The command tag of a text that does nothing but start a transaction, or (`hasStarted`) set the modes of one that has
 * started; undefined for all other texts. Such a text can be sent later than it was asked for: it cannot fail by itself,
 * and nobody sees a difference.
 */
export function transactionStart(text: string, hasStarted: boolean): string | undefined {
  if (hasStarted) return set.test(text) ? "SET" : undefined
  if (begin.test(text)) return "BEGIN"
  return start.test(text) ? "START TRANSACTION" : undefined
}
