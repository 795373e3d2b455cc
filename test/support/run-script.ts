import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"

/**
 * Runs a script of this folder in a separate process until it exits. Resolves with its first message and its
 * exit code. Rejects if it exits without a message.
 */
export async function runScript(
  script: string,
  ...args: string[]
): Promise<{ readonly message: unknown; readonly code: number | null }> {
  const child = fork(join(__dirname, `${script}.js`), args)
  let message: unknown
  child.once("message", (first) => (message = first))
  // A process may emit "exit" before its last messages, but "disconnect" only after them.
  const [[code]] = await Promise.all([once(child, "exit"), once(child, "disconnect")])
  if (message === undefined) throw new Error(`The script ${script} exited with ${code}.`)
  return { message, code }
}
