import { expect } from "chai"
import type { DataSource } from "typeorm"
import { AccessRefusedError, WindowEndedError, WriteVetoedError } from "../../src"
import { lockKeys } from "../../src/state/schema"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { poolOf } from "../support/pool"
import { endWindowAfterEach } from "../support/window"

interface Client {
  query(text: string): Promise<unknown>
  release(): void
}

const insert = "insert into loot (name) values ('gold')"
/** Does the same as enter(), without a notification. */
const silently = (epoch: string) =>
  `update maintenance.state set mode = 'concurrent', maintainer = 'alice', since = now(), window_id = 'silent', epoch = ${epoch}`

describe("A process that has not seen a window yet", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })
  before(() => database.current.sql("create table loot (name text)"))
  beforeEach(() => database.current.sql("delete from loot"))
  endWindowAfterEach(installed)
  const loot = async () => (await database.current.sql("select from loot")).length

  const ways: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
    "a statement": (d) => d.query(insert),
    "a transaction": (d) => d.transaction((m) => m.query(insert)),
    "a REPEATABLE READ transaction": (d) => d.transaction("REPEATABLE READ", (m) => m.query(insert)),
    "a change of the schema": (d) => d.query("create table more_loot (name text)"),
  }
  for (const [name, way] of Object.entries(ways)) {
    it(`stores nothing through ${name}, and still reads`, async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.status()
      await database.current.sql(silently("epoch + 1"))
      const veto: unknown = await way(dataSource).catch((error: unknown) => error)
      expect(veto).to.be.instanceOf(WriteVetoedError)
      expect(await loot()).to.equal(0)
      expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
    })
  }

  it("stores nothing if the epoch matches its own, as after a failover that lost a change", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.status()
    await database.current.sql(silently("epoch"))
    const veto: unknown = await dataSource.query(insert).catch((error: unknown) => error)
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect(await loot()).to.equal(0)
  })

  it("stores nothing on a session whose search_path contains other functions and operators", async () => {
    const { dataSource, maintenance } = installed.current
    const { stamp } =
      (await database.current.sql<{ stamp: string }>("select stamp from maintenance.status()"))[0] ?? {}
    await database.current.sql(`
      create schema fake;
      create function fake.pg_sequence_last_value(regclass) returns bigint language sql as 'select ${stamp}::bigint';
      create function fake.pg_advisory_xact_lock_shared(integer, integer) returns void language sql as '';
      create function fake.format(text) returns text language sql as 'select $1';
      create function fake.always(bigint, bigint) returns boolean language sql as 'select true';
      create operator fake.= (leftarg = bigint, rightarg = bigint, function = fake.always)`)
    await maintenance.status()
    const runner = dataSource.createQueryRunner()
    try {
      await runner.query("set search_path = fake, public, pg_catalog")
      await database.current.sql(silently("epoch + 1"))
      const veto: unknown = await runner.query(insert).catch((error: unknown) => error)
      expect(veto).to.be.instanceOf(WriteVetoedError)
    } finally {
      await runner.query("reset search_path")
      await runner.release()
      await database.current.sql("drop schema fake cascade")
    }
    expect(await loot()).to.equal(0)
  })

  it("stores nothing for the maintainer of an inner window that has expired, even before its row says so", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const { hold } = lockKeys("maintenance")
    // In this DataSource, break-glass is no emergency user.
    const plugin = { emergencyUsers: [] }
    await withMaintenance(database.current.url, { plugin }, async (other) => {
      await withClient(database.current.url, async (client) => {
        const insertAs = (user: string) => other.maintenance.runAs(user, () => other.dataSource.query(insert))
        await maintenance
          .during("concurrent", { as: "break-glass", expiresInMs: 3000 }, async () => {
            // Prevents all changes from now on.
            await client.query(`select pg_advisory_lock_shared(${hold})`)
            await other.maintenance.status()
            await insertAs("break-glass")
            await client.query(
              "select pg_sleep(0.01 + extract(epoch from expires_at - clock_timestamp())) from maintenance.state",
            )
            expect(await errorOf(insertAs("break-glass"))).to.be.instanceOf(WriteVetoedError)
            await client.query("select pg_advisory_unlock_all()")
          })
          .catch((error: unknown) => expect(error).to.be.instanceOf(WindowEndedError))
      })
    })
    expect(await loot()).to.equal(1)
  })

  it("learns of it from its first refusal", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.status()
    await database.current.sql(silently("epoch + 1"))
    const heard = new Promise((resolve) => maintenance.on("change", resolve))
    await dataSource.query(insert).catch(() => undefined)
    expect(await heard).to.include({ mode: "concurrent", maintainer: "alice" })
  })
})

describe("A connection taken from the pool itself", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })
  before(() => database.current.sql("create table loot (name text)"))
  const loot = async () => (await database.current.sql("select from loot")).length
  const pool = () => poolOf(installed.current.dataSource)

  it("writes in normal mode, and is vetoed in a window", async () => {
    const { maintenance } = installed.current
    await pool().query(insert)
    expect(await loot()).to.equal(1)
    await maintenance.enter("concurrent", { as: "alice" })
    const client = await pool().connect()
    const veto: unknown = await client.query(insert).catch((error: unknown) => error)
    client.release()
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect(
      await pool()
        .query(insert)
        .catch((error: unknown) => error),
    ).to.be.instanceOf(WriteVetoedError)
    await maintenance.leave({ as: "alice" })
    expect(await loot()).to.equal(1)
  })

  it("leaves no open transaction for the next user to commit", async () => {
    const { dataSource } = installed.current
    const client = await pool().connect()
    await client.query("begin")
    await client.query(insert)
    client.release()
    await dataSource.transaction((manager) => manager.query("select 1"))
    expect(await loot()).to.equal(1)
  })

  it("is refused in exclusive mode, even if TypeORM opened it at the start", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
      const master = poolOf(dataSource)
      await maintenance.enter("exclusive", { as: "alice" })
      const refusal: unknown = await master.query("select 1").catch((error: unknown) => error)
      expect(refusal).to.be.instanceOf(AccessRefusedError)
      await maintenance.leave({ as: "alice" })
    })
  })

  it("is already fenced for listeners that prepare new connections", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    await withMaintenance(database.current.url, { poolSize: 2 }, async ({ dataSource }) => {
      const master = poolOf(dataSource)
      const prepared: Promise<unknown>[] = []
      master.on("connect", (client: Client) =>
        prepared.push(client.query(insert).catch((error: unknown) => error)),
      )
      await Promise.all([dataSource.query("select 1"), dataSource.query("select 1")])
      expect(await prepared[0]).to.be.instanceOf(WriteVetoedError)
    })
    await maintenance.leave({ as: "alice" })
    expect(await loot()).to.equal(1)
  })

  it("continues its transaction after a text of ROLLBACK TO and more", async () => {
    const { dataSource } = installed.current
    const before = await loot()
    const runner = dataSource.createQueryRunner()
    await runner.query("begin")
    await runner.query(insert)
    await runner.query("savepoint s")
    await runner.query("select 1 / 0").catch(() => undefined)
    await runner.query(`rollback to savepoint s; ${insert}`)
    await runner.query("commit")
    await runner.release()
    expect(await loot()).to.equal(before + 2)
  })
})
