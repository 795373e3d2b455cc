import { createInterface } from "node:readline/promises"
import { Declined } from "./declined"
import { plain } from "./plain"
import { hiddenNote, blockersTable } from "./text/blockers"
import { note } from "./screen"
import type { Session } from "./session"

/**
 * Shows who is connected and who would be waited for, and asks whether to go on. Throws Declined if the answer is not
 * yes.
 */
export async function confirmExclusive({ control, target }: Session, user: string): Promise<void> {
  const blockers = await control.blockers({ mode: "exclusive", as: user })
  note(await withoutAnswer(target))
  if (blockers.length === 0) note("No transaction is open now.")
  else {
    note(
      `enter would wait for ${blockers.length === 1 ? "this transaction" : `these ${blockers.length} transactions`}:`,
    )
    note(blockersTable(blockers))
    const hidden = hiddenNote(blockers)
    if (hidden) note(hidden)
  }
  if (!(await ask("Enter exclusive mode? [y/N] "))) throw new Declined()
}

/** Whether somebody can be asked. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY
}

/** Asks a question on the terminal; returns whether the answer is yes. */
export async function ask(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  // Ctrl-C and the end of the input are a no.
  const closed = new Promise<string>((resolve) => terminal.once("close", () => resolve("")))
  try {
    const answer = await Promise.race([terminal.question(question), closed])
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    terminal.close()
  }
}

/** A sentence on the sessions that get no answer in exclusive mode. */
async function withoutAnswer(target: Session["target"]): Promise<string> {
  const effect = "Users other than you get no answer in exclusive mode."
  try {
    const count = await otherSessions(target)
    return `${count === 1 ? "1 other session is" : `${count} other sessions are`} connected. ${effect}`
  } catch (error) {
    // It needs one more connection, and there may be none left.
    return `The number of other sessions could not be read: ${plain((error as Error).message)}. ${effect}`
  }
}

/** Counts the other sessions that are connected to the database. */
async function otherSessions(target: Session["target"]): Promise<number> {
  const client = target.createClient()
  client.on("error", () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ count: number }>(
      `select count(*)::int as count from pg_catalog.pg_stat_activity
       where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
         and application_name not in ('typeorm-maintenance', 'typeorm-maintenance-mode')`,
    )
    return rows[0]?.count ?? 0
  } finally {
    await client.end()
  }
}
