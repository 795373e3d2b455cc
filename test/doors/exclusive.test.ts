import { expect } from "chai"
import { finished } from "node:stream/promises"
import { Query } from "pg"
import type { QueryRunner } from "typeorm"
import { AccessRefusedError, maintenanceSchemaSql } from "../../src"
import { timeText } from "../../src/text"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { Item } from "../support/entities"
import { poolOf } from "../support/pool"
import { openShop } from "../support/shop"
import { endWindowAfterEach, notWaiting } from "../support/window"

describe("Exclusive mode", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 2, plugin: { emergencyUsers: ["break-glass"] } })
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  /**
   * The number of statements, other than those of the plugin, that the server has received in this database.
   */
  const sentStatements = () =>
    withClient(database.current.url, async (client) => {
      const { rows } = await client.query<{ query: string; query_start: Date }>(
        `select pid, query, query_start from pg_stat_activity
         where datname = current_database() and application_name <> 'typeorm-maintenance-mode' and pid <> pg_backend_pid()
         order by pid`,
      )
      return rows
    })

  it("sends no query and takes no connection for other users once the process knows", async () => {
    const { dataSource, maintenance } = installed.current
    await dataSource.getRepository(Item).count()
    await maintenance.enter("exclusive", { as: "alice" })
    const before = await sentStatements()
    const pool = poolOf(dataSource)
    const lent = { total: pool.totalCount, idle: pool.idleCount }
    const refusal: unknown = await dataSource
      .getRepository(Item)
      .find()
      .catch((error: unknown) => error)
    expect(refusal).to.be.instanceOf(AccessRefusedError)
    expect({ total: pool.totalCount, idle: pool.idleCount }).to.deep.equal(lent)
    expect(await sentStatements()).to.deep.equal(before)
  })

  it("refuses while the pool is exhausted, and can be entered and left then", async () => {
    const { dataSource, maintenance } = installed.current
    const hogs: QueryRunner[] = []
    for (let count = 0; count < 2; count++) {
      const runner = dataSource.createQueryRunner()
      await runner.query("select 1")
      hogs.push(runner)
    }
    await maintenance.enter("exclusive", { as: "alice" })
    const refusal: unknown = await dataSource.query("select 1").catch((error: unknown) => error)
    expect(refusal).to.be.instanceOf(AccessRefusedError)
    expect(poolOf(dataSource).waitingCount).to.equal(0)
    await maintenance.leave({ as: "alice" })
    for (const runner of hogs) await runner.release()
  })

  it("lets the maintainer and emergency users work normally", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice" })
    for (const user of ["alice", "break-glass"]) {
      await maintenance.runAs(user, async () => {
        await dataSource.getRepository(Item).save({ name: `of ${user}` })
        await dataSource.transaction((manager) => manager.update(Item, { name: `of ${user}` }, { stock: 1 }))
        expect(await dataSource.getRepository(Item).countBy({ name: `of ${user}` })).to.equal(1)
      })
    }
  })

  it("names the maintainer, the start and the reason in its refusals", async () => {
    const { dataSource, maintenance } = installed.current
    const { since } = await maintenance.enter("exclusive", { as: "alice", reason: "failover" })
    const refusal = (await dataSource
      .query("select 1")
      .catch((error: unknown) => error)) as AccessRefusedError
    expect(refusal).to.include({ mode: "exclusive", maintainer: "alice", reason: "failover" })
    expect(refusal.since).to.deep.equal(since)
    expect(refusal.detailedMessage).to.equal(
      `Access refused: the system has been in exclusive maintenance by alice (failover) since ${timeText(since as Date)}; ` +
        "only the maintainer gets a connection. Try again when the maintenance is over.",
    )
  })

  it("reaches the DataSource of another process, which then refuses early", async () => {
    const { maintenance } = installed.current
    await withMaintenance(database.current.url, {}, async (other) => {
      const heard = new Promise((resolve) => other.maintenance.on("change", resolve))
      await maintenance.enter("exclusive", { as: "alice" })
      expect(await heard).to.include({ mode: "exclusive", maintainer: "alice" })
      const pool = poolOf(other.dataSource)
      const lent = pool.totalCount - pool.idleCount
      const refusal: unknown = await other.dataSource.query("select 1").catch((error: unknown) => error)
      expect(refusal).to.be.instanceOf(AccessRefusedError)
      expect(pool.totalCount - pool.idleCount).to.equal(lent)
    })
  })

  it("is enforced by the fence alone, reads included, before the process knows of it", async () => {
    const { dataSource } = installed.current
    // Does the same as enter(), without a notification.
    await database.current.sql(
      "update maintenance.state set epoch = epoch + 1, mode = 'exclusive', maintainer = 'alice', since = now(), window_id = 'silent'",
    )
    for (const door of [
      () => dataSource.query("select 1"),
      () => dataSource.query("insert into item (name) values ('crate')"),
      () => dataSource.query("create table extra (id int)"),
      () => dataSource.transaction((manager) => manager.find(Item)),
      () => dataSource.transaction((manager) => manager.insert(Item, { name: "crate" })),
    ]) {
      const refusal: unknown = await door().catch((error: unknown) => error)
      expect(refusal).to.be.instanceOf(AccessRefusedError)
    }
    expect(await database.current.sql("select count(*)::int from item where name = 'crate'")).to.deep.equal([
      { count: 0 },
    ])
    expect(poolOf(dataSource).totalCount - poolOf(dataSource).idleCount).to.equal(0)
  })

  const doorsInTransaction: Record<string, (runner: QueryRunner) => Promise<unknown>> = {
    "a statement": (runner) => runner.query("select name from item"),
    "a text of several statements": (runner) => runner.query("select name from item; select name from item"),
    "a stream": async (runner) => finished((await runner.stream("select name from item")).resume()),
    "a query object": async (runner) => {
      const client = (await runner.connect()) as { query(query: object): void }
      const object = new Query("select name from item")
      const ended = new Promise((resolve, reject) => object.on("end", resolve).on("error", reject))
      client.query(object)
      await ended
    },
  }

  for (const [name, door] of Object.entries(doorsInTransaction)) {
    it(`is enforced within a transaction while the watch is disconnected: ${name} is refused`, async () => {
      const { maintenance } = installed.current
      const role = "cut_off"
      const url = new URL(database.current.url)
      url.username = role
      await database.current.sql(
        `create role ${role} login; grant select on all tables in schema public to ${role}`,
      )
      await database.current.sql(maintenanceSchemaSql({ role }))
      try {
        await withMaintenance(url.toString(), { plugin: { migrate: false } }, async ({ dataSource }) => {
          const runner = dataSource.createQueryRunner()
          await runner.startTransaction()
          await runner.query("select 1")
          await database.current.sql(`alter role ${role} connection limit 0`)
          await database.current.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity " +
              `where application_name = 'typeorm-maintenance-mode' and usename = '${role}'`,
          )
          await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
          // Until this process notices the loss, it still assumes normal mode.
          let refusal: unknown
          for (let attempt = 0; attempt < 1000 && refusal === undefined; attempt++) {
            await runner.query("select 1").catch((error: unknown) => (refusal = error))
          }
          expect(refusal).to.be.instanceOf(AccessRefusedError)
          await runner.rollbackTransaction()

          await maintenance.leave({ as: "alice" })
          await runner.startTransaction()
          await runner.query("select 1")
          await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
          const answer: unknown = await door(runner).catch((error: unknown) => error)
          expect(answer).to.be.instanceOf(AccessRefusedError)
          await runner.release()
        })
      } finally {
        await database.current.sql(`drop owned by ${role}; drop role ${role}`)
      }
    })
  }

  it("rolls back an open transaction when its query runner is released", async () => {
    const { dataSource, maintenance } = installed.current
    const runner = dataSource.createQueryRunner()
    await runner.startTransaction()
    await runner.query("insert into item (name) values ('crate')")
    await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
    const refusal: unknown = await runner.query("select 1").catch((error: unknown) => error)
    expect(refusal).to.be.instanceOf(AccessRefusedError)
    await runner.release()
    expect(
      await database.current.sql(
        "select count(*)::int from pg_stat_activity where datname = current_database() and state like 'idle in%'",
      ),
    ).to.deep.equal([{ count: 0 }])
  })

  it("notifies the listeners of each refusal once", async () => {
    const { dataSource, maintenance } = installed.current
    const refused: string[] = []
    const stop = maintenance.on("refused", (error) => refused.push(error.code))
    await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
    await dataSource.query("select 1").catch(() => undefined)
    await dataSource.transaction((manager) => manager.find(Item)).catch(() => undefined)
    await maintenance.enter("concurrent", { as: "alice" })
    await dataSource.query("insert into item (name) values ('crate')").catch(() => undefined)
    await dataSource.transaction((manager) => manager.insert(Item, { name: "crate" })).catch(() => undefined)
    await dataSource.query("vacuum item").catch(() => undefined)
    stop()
    await dataSource.query("insert into item (name) values ('crate')").catch(() => undefined)
    expect(refused).to.deep.equal([
      "MAINTENANCE_ACCESS_REFUSED",
      "MAINTENANCE_ACCESS_REFUSED",
      "MAINTENANCE_WRITE_VETOED",
      "MAINTENANCE_WRITE_VETOED",
      "MAINTENANCE_WRITE_VETOED",
    ])
  })
})
