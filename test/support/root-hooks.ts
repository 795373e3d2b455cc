import "reflect-metadata"
import { Client } from "pg"
import { leftBehind } from "./leftovers"
import { describeServer, type Server, sharedUrl, startServer } from "./server"
import { now } from "./sockets"
import { silenceProvokedWarnings } from "./warning"

process.setSourceMapsEnabled(true)
silenceProvokedWarnings()
// Ctrl-C interrupts a test. Everything that it has started ends with this process.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130))

/** Whether the parent process has a server. */
const isInherited = process.env["MAINTENANCE_SERVER_URL"] !== undefined

/**
 * The server of this process. Files that run in parallel have one each, unless a shared one is configured.
 */
let server: Server | undefined
/** The lock by which files take turns on a shared server, since roles belong to the whole server. */
let turn: Client | undefined
/** The connections and DataSources that existed when the test began. */
let moment = now()

/** Prints the versions under test, and ties this process to its parent. */
export async function mochaGlobalSetup(): Promise<void> {
  endWithStarter()
  const typeorm = require.resolve("typeorm").includes("typeorm-0.3") ? "0.3" : "1.x"
  console.log(`Tests run on ${await describeServer()}, TypeORM ${typeorm}.`)
}

/** Provides a server for each file, and fails a test that leaves something behind. */
export const mochaHooks = {
  async beforeAll(this: Mocha.Context): Promise<void> {
    // Waits for this file's turn.
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
    // A worker runs more files. Its server ends with it.
    if (process.env["MOCHA_WORKER_ID"] !== undefined) return
    await server?.stop()
    server = undefined
  },
}

/** Ends this process when its parent is gone, because a shell started by npm does not forward SIGTERM. */
function endWithStarter(): void {
  const starter = process.ppid
  setInterval(() => process.ppid === starter || process.exit(143), 500).unref()
}
