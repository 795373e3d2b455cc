import "reflect-metadata"
import { Client } from "pg"
import { leftBehind } from "./leftovers"
import { describeServer, type Server, sharedUrl, startServer } from "./server"
import { now } from "./sockets"
import { silenceProvokedWarnings } from "./warning"

process.setSourceMapsEnabled(true)
silenceProvokedWarnings()
// Ctrl-C ends a test in its middle; what it has started ends with this process.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130))

/** Whether a process that has a server has started this one. */
const isInherited = process.env["MAINTENANCE_SERVER_URL"] !== undefined

/** Of this process: files that run at the same time have a server each, unless one is named for all. */
let server: Server | undefined
/** On a server that is named, one file runs after the other: roles are everybody's. */
let turn: Client | undefined
/** What there was when the test began. */
let moment = now()

export async function mochaGlobalSetup(): Promise<void> {
  endWithStarter()
  const typeorm = require.resolve("typeorm").includes("typeorm-0.3") ? "0.3" : "1.x"
  console.log(`Tests run on ${await describeServer()}, TypeORM ${typeorm}.`)
}

export const mochaHooks = {
  async beforeAll(this: Mocha.Context): Promise<void> {
    // Until it is this file's turn.
    this.timeout(0)
    if (isInherited) return
    if (sharedUrl !== undefined) {
      turn = new Client({ connectionString: sharedUrl })
      await turn.connect()
      await turn.query("select pg_advisory_lock(hashtext('the tests of typeorm-maintenance-mode'))")
    }
    server ??= await startServer()
    process.env["MAINTENANCE_SERVER_URL"] = server.url
  },
  beforeEach(): void {
    moment = now()
  },
  async afterEach(): Promise<void> {
    const left = await leftBehind(moment)
    if (left.length > 0) throw new Error(`The test has left behind ${left.join("; ")}.`)
  },
  async afterAll(): Promise<void> {
    await turn?.end()
    // A worker has more files to run; its server ends with it.
    if (process.env["MOCHA_WORKER_ID"] !== undefined) return
    await server?.stop()
    server = undefined
  },
}

/** A shell that npm has started does not pass SIGTERM on: ends this process when the one that started it is gone. */
function endWithStarter(): void {
  const starter = process.ppid
  setInterval(() => process.ppid === starter || process.exit(143), 500).unref()
}
