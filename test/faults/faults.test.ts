import { expect } from "chai"
import type { DataSource } from "typeorm"
import { type Draining, type Maintenance, WriteVetoedError } from "../../src"
import { withMaintenance } from "../support/data-source"
import { withClient } from "../support/database"
import { type EmbeddedServer, startEmbeddedServer } from "../support/embedded-server"
import { Item } from "../support/entities"
import { Member } from "../support/members"
import { Proxy } from "../support/proxy"
import { windowOf } from "../support/window"
import { statusThat } from "../support/until"

/** The longest possible wait. The tests end it. */
const forever = { withinMs: 2 ** 31 - 1 }

describe("A fault", function () {
  this.timeout(180_000)
  let server: EmbeddedServer
  before(async () => {
    server = await startEmbeddedServer()
    await withMaintenance(server.url, { synchronize: true }, () => Promise.resolve())
  })
  after(() => server.stop())

  let count = 0
  const name = () => `crate ${++count}`
  const insertSql = () => `insert into item (name, stock) values ('${name()}', 1)`
  const write = (dataSource: DataSource): Promise<unknown> =>
    dataSource
      .getRepository(Item)
      .insert({ name: name() })
      .then(
        () => "done",
        (error: unknown) => error,
      )
  const stored = (url = server.url) =>
    withClient(url, async (client) => (await client.query("select from item")).rowCount)
  const firstDraining = (maintenance: Maintenance) =>
    new Promise<Draining>((resolve) => maintenance.on("draining", resolve))
  const endAll = () =>
    withClient(server.url, (client) =>
      client.query(
        "select pg_terminate_backend(pid, 60000) from pg_stat_activity " +
          "where datname = current_database() and pid <> pg_backend_pid()",
      ),
    )

  it("of the server in normal mode: all instances register again, and a mode can be entered", async () => {
    await withMaintenance(server.url, {}, async ({ dataSource, maintenance }) => {
      const member = await Member.start(server.url)
      await server.crash()
      await statusThat(maintenance, ({ instances }) => instances.length === 2)
      const { unacknowledged } = await maintenance.enter("concurrent", { as: "alice" })
      expect(unacknowledged).to.deep.equal([])
      expect(await write(dataSource)).to.be.instanceOf(WriteVetoedError)
      expect(await member.run(insertSql())).not.to.equal("done")
      expect(await member.run(insertSql())).to.equal("WriteVetoedError")
      await maintenance.leave({ as: "alice" })
      await member.stop()
    })
  })

  it("of the server in concurrent mode: the window stands, and open transactions are gone", async () => {
    await withMaintenance(server.url, {}, async ({ dataSource, maintenance }) => {
      const before = await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
      const rows = await stored()
      const runner = dataSource.createQueryRunner()
      await runner.query("begin")
      await runner.query(insertSql())
      await server.crash()
      await runner.query("commit").catch(() => undefined)
      await runner.release()
      expect(windowOf(await statusThat(maintenance, () => true))).to.deep.equal(windowOf(before))
      expect(await write(dataSource)).to.be.instanceOf(WriteVetoedError)
      expect(await stored()).to.equal(rows)
      await maintenance.leave({ as: "alice" })
      expect(await write(dataSource)).to.equal("done")
    })
  })

  it("of the server while a mode is being entered: enter() resolves when it is back, because open transactions are gone", async () => {
    await withMaintenance(server.url, {}, async ({ maintenance }) => {
      await withClient(server.url, async (client) => {
        client.on("error", () => undefined)
        await client.query("begin")
        await client.query(insertSql())
        const rows = await stored()
        const told = firstDraining(maintenance)
        const entered = maintenance.enter("exclusive", { as: "alice", drain: forever })
        await told
        await server.crash()
        expect(await entered).to.include({ mode: "exclusive" })
        expect(await stored()).to.equal(rows)
      })
      expect(await maintenance.status()).to.include({ state: "exclusive", isInterrupted: false })
      await maintenance.leave({ as: "alice" })
    })
  })

  it("of all connections at once, in each mode: nothing is stored that must not be", async () => {
    await withMaintenance(server.url, {}, async ({ dataSource, maintenance }) => {
      for (const mode of ["concurrent", "exclusive"] as const) {
        await maintenance.enter(mode, { as: "alice" })
        const rows = await stored()
        await endAll()
        await write(dataSource)
        expect(await write(dataSource)).not.to.equal("done")
        expect(await stored()).to.equal(rows)
        await statusThat(maintenance, ({ instances }) => instances.length === 1)
      }
      await maintenance.leave({ as: "alice" })
      await endAll()
      await write(dataSource)
      expect(await write(dataSource)).to.equal("done")
    })
  })

  it("of a writing process: its open transaction is not stored, and enter() waits for nothing", async () => {
    await withMaintenance(server.url, {}, async ({ maintenance }) => {
      const member = await Member.start(server.url)
      expect(await member.run("begin")).to.equal("done")
      expect(await member.run(insertSql())).to.equal("done")
      const rows = await stored()
      member.signal("SIGKILL")
      await maintenance.enter("exclusive", { as: "alice", drain: forever })
      expect(await stored()).to.equal(rows)
      await maintenance.leave({ as: "alice" })
    })
  })

  it("of a maintainer: the window stands, the same maintainer continues in another process, and an emergency user ends it", async () => {
    await withMaintenance(server.url, {}, async ({ dataSource, maintenance }) => {
      const member = await Member.start(server.url)
      expect(await member.enter("concurrent", { as: "alice" })).to.equal("done")
      member.signal("SIGKILL")
      await statusThat(maintenance, ({ instances }) => instances.length === 1)
      expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "alice" })
      expect(await write(dataSource)).to.be.instanceOf(WriteVetoedError)
      expect(await maintenance.runAs("alice", () => write(dataSource))).to.equal("done")
      await maintenance.leave({ as: "break-glass" })
      expect(await write(dataSource)).to.equal("done")
    })
  })

  it("of the primary: the window stands on the promoted replica, for the connections to it", async () => {
    const primary = await startEmbeddedServer()
    const servers = [primary]
    const proxy = await Proxy.start(primary.url)
    try {
      await withMaintenance(proxy.url, { synchronize: true }, async ({ dataSource, maintenance }) => {
        const standby = await primary.startStandby()
        servers.push(standby)
        expect(await write(dataSource)).to.equal("done")
        const before = await maintenance.enter("concurrent", { as: "alice", reason: "failover" })
        await standby.caughtUp()
        await primary.crash({ isForGood: true })
        await withClient(standby.url, (client) => client.query("select pg_promote()"))
        proxy.redirect(standby.url)
        await write(dataSource)
        expect(await write(dataSource)).to.be.instanceOf(WriteVetoedError)
        const report = await statusThat(maintenance, ({ instances }) => instances.length === 1)
        expect(windowOf(report)).to.deep.equal(windowOf(before))
        expect(await stored(standby.url)).to.equal(1)
        expect(await maintenance.runAs("alice", () => write(dataSource))).to.equal("done")
        await maintenance.leave({ as: "alice" })
        expect(await write(dataSource)).to.equal("done")
      })
    } finally {
      await proxy.stop()
      for (const one of servers.reverse()) await one.stop()
    }
  })
})
