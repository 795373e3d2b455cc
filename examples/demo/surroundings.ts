import { withClient } from "../../test/support/database"
import { startServer } from "../../test/support/server"

const undoWithinMs = 10_000

/** The resources to stop or remove at the end, in reverse order, whatever ends the demo. */
export class Surroundings {
  readonly #undos: [what: string, undo: () => Promise<unknown>][] = []

  /** Registers an undo. Call it before the action, which may be interrupted half way. */
  atEnd(what: string, undo: () => Promise<unknown>): void {
    this.#undos.push([what, undo])
  }

  /** Starts a server, or uses the configured one. Resolves with its URL and a description. */
  async server(): Promise<{ url: string; description: string }> {
    const starting = startServer()
    this.atEnd("stop the server", async () => (await starting.catch(() => undefined))?.stop())
    return starting
  }

  /** Creates a database for this demo alone. Resolves with its URL. */
  async database(serverUrl: string): Promise<string> {
    const name = `maintenance_demo_${process.pid}_${Date.now().toString(36)}`
    const creating = withClient(serverUrl, (client) => client.query(`create database "${name}"`))
    this.atEnd(`drop the database ${name}`, async () => {
      await creating.catch(() => undefined)
      await withClient(serverUrl, (client) => client.query(`drop database if exists "${name}" with (force)`))
    })
    await creating
    const url = new URL(serverUrl)
    url.pathname = `/${name}`
    return url.toString()
  }

  /** Undoes everything. Resolves with the failures. */
  async end(): Promise<string[]> {
    const failures: string[] = []
    for (const [what, undo] of this.#undos.splice(0).toReversed()) {
      await inTime(undo()).catch((error) => failures.push(`Could not ${what}: ${String(error)}`))
    }
    return failures
  }
}

async function inTime(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${undoWithinMs} ms`)), undoWithinMs)
  })
  await Promise.race([work, late]).finally(() => clearTimeout(timer))
}
