// Runs Mocha on tests that leave something behind, one after the other, with the root hooks. Runs in its own
// process, and sends the failures of each test.
import Mocha from "mocha"
import { Client } from "pg"
import { installMaintenance } from "../../../src"
import { shared } from "../../../src/shared"
import { newDataSource } from "../data-source"
import { liveDatabases, TestDatabase } from "../database"
import { mochaHooks } from "../root-hooks"

/** Leaves something behind in a database. Resolves with a function that removes it. */
type Leave = (database: TestDatabase) => Promise<() => unknown>

const connected = async ({ url }: TestDatabase, text: string) => {
  const client = new Client({ connectionString: url })
  await client.connect()
  // The hook counts from the start of the test, minus the duration of its own query. This takes longer.
  await client.query("select pg_sleep(1)")
  await client.query(text)
  return () => client.end()
}

const kinds: Record<string, Leave> = {
  nothing: () => Promise.resolve(() => undefined),
  "a connection": (database) => connected(database, "select 'mine'"),
  "a transaction": (database) => connected(database, "begin"),
  "a lock": (database) => connected(database, "select pg_advisory_lock(1)"),
  "a DataSource": async ({ url }) => {
    const dataSource = await newDataSource(url).initialize()
    return () => dataSource.destroy()
  },
  "a mode": async ({ url }) => {
    const dataSource = newDataSource(url)
    const maintenance = installMaintenance(dataSource)
    await dataSource.initialize()
    await maintenance.enter("concurrent", { as: "alice" })
    await dataSource.destroy()
    await maintenance.uninstall()
    return () => undefined
  },
  "a context": () => {
    shared.context.enterWith({ user: "alice" })
    return Promise.resolve(() => shared.context.disable())
  },
}

/** The failure messages of a test that leaves something behind. */
async function failures(leave: Leave): Promise<string[]> {
  const mocha = new Mocha({ rootHooks: mochaHooks, timeout: 60_000, reporter: class {} as never })
  let undo: () => unknown = () => undefined
  const database = await TestDatabase.create()
  mocha.suite.addTest(new Mocha.Test("leaves", async () => void (undo = await leave(database))))
  const messages: string[] = []
  await new Promise((resolve) =>
    mocha.run(resolve).on("fail", (_, error: Error) => void messages.push(error.message)),
  )
  await undo()
  liveDatabases.delete(database)
  return messages
}

async function main(): Promise<void> {
  for (const [kind, leave] of Object.entries(kinds)) process.send?.([kind, await failures(leave)])
  process.exit()
}

void main()
