import { expect } from "chai"
import { Client } from "pg"
import {
  AccessRefusedError,
  type Instance,
  installMaintenance,
  MaintenanceMigration,
  maintenanceSchemaSql,
  MaintenanceSetupError,
  type MaintenanceStatus,
  WriteVetoedError,
} from "../../src"
import { newDataSource, withMaintenance, withPlainDataSource } from "../support/data-source"
import { type TestDatabase, useDatabase, useFreshDatabase, withClient } from "../support/database"
import { startEmbeddedServer } from "../support/embedded-server"
import { Item } from "../support/entities"
import { Proxy } from "../support/proxy"
import { runScript } from "../support/run-script"
import { endOwnSessions } from "../support/sessions"
import { openShop } from "../support/shop"
import { windowOf } from "../support/window"
import { until } from "../support/until"
import { warningsDuring } from "../support/warning"

/** Starts a process that installs the plugin. Resolves with the state that it found when it has exited. */
async function startProcess(url: string): Promise<MaintenanceStatus> {
  return (await runScript("starter", url)).message as MaintenanceStatus
}

describe("The state", () => {
  let database: TestDatabase
  useFreshDatabase((created) => (database = created))

  it("is installed by twenty processes at once", async function () {
    this.timeout(180_000)
    const found = await Promise.all(Array.from({ length: 20 }, () => startProcess(database.url)))
    expect(found.map(({ mode, epoch }) => ({ mode, epoch }))).to.deep.equal(
      Array.from({ length: 20 }, () => ({ mode: "normal", epoch: 1 })),
    )
    expect(await database.sql("select version from maintenance.schema_version")).to.deep.equal([
      { version: 1 },
    ])
  })

  it("is installed by twenty DataSources at once", async () => {
    await Promise.all(
      Array.from({ length: 20 }, () =>
        withMaintenance(database.url, { poolSize: 1 }, ({ maintenance }) => maintenance.status()),
      ),
    )
    expect(await database.sql("select count(*)::int from maintenance.state")).to.deep.equal([{ count: 1 }])
  })

  it("is shared by processes, and outlives the process that entered a mode", async () => {
    await withMaintenance(database.url, {}, ({ maintenance }) =>
      maintenance.enter("exclusive", { as: "alice", reason: "upgrade" }),
    )
    expect(await startProcess(database.url)).to.include({
      mode: "exclusive",
      maintainer: "alice",
      reason: "upgrade",
    })
  })

  it("refuses a newer schema that is breaking, and accepts any other newer one", async () => {
    await withMaintenance(database.url, {}, () => Promise.resolve())
    await database.sql("insert into maintenance.schema_version values (98, false)")
    await withMaintenance(database.url, {}, () => Promise.resolve())
    await database.sql("insert into maintenance.schema_version values (99, true)")
    const error: unknown = await withMaintenance(database.url, {}, () => Promise.resolve()).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).to.be.instanceOf(MaintenanceSetupError)
    expect(error).to.have.property(
      "message",
      'The schema "maintenance" is at version 99, but this version of typeorm-maintenance-mode supports only versions up to 1. ' +
        "Upgrade the package in this application.",
    )
  })

  it("is not installed by a role without the privileges, and the error says what to do", async () => {
    await database.sql("create role guest login")
    const url = new URL(database.url)
    url.username = "guest"
    const error: unknown = await withMaintenance(url.toString(), {}, () => Promise.resolve()).catch(
      (thrown: unknown) => thrown,
    )
    await database.sql("drop role guest")
    expect(error).to.be.instanceOf(MaintenanceSetupError)
    expect((error as Error).message).to.match(
      /The schema "maintenance" was not installed: this role may not create it .*migrate: false.*maintenanceSchemaSql/s,
    )
  })

  it("works for a role with only the privileges of the printed SQL", async () => {
    const url = new URL(database.url)
    url.username = "teller"
    await openShop(database)
    await database.sql(
      "create role teller login; grant select, insert on item, audit to teller; grant usage on item_id_seq, audit_id_seq to teller",
    )
    try {
      await database.sql(maintenanceSchemaSql({ role: "teller" }))
      await withMaintenance(
        url.toString(),
        { plugin: { migrate: false } },
        async ({ dataSource, maintenance }) => {
          await dataSource.query("insert into item (name) values ('first')")
          await dataSource.transaction("SERIALIZABLE", (manager) =>
            manager.query("insert into item (name) values ('second')"),
          )
          await dataSource.query("begin; insert into item (name) values ('third'); commit")
          await maintenance.enter("concurrent", { as: "alice" })
          const veto: unknown = await dataSource
            .query("insert into item (name) values ('x')")
            .catch((thrown: unknown) => thrown)
          expect(veto).to.be.instanceOf(WriteVetoedError)
          await maintenance.leave({ as: "alice" })
          const denied: unknown = await dataSource
            .query("update maintenance.state set mode = 'normal'")
            .catch((thrown: unknown) => thrown)
          expect(denied).to.have.nested.property("driverError.code", "42501")
        },
      )
    } finally {
      await database.sql("drop owned by teller; drop role teller")
    }
  })

  for (const transaction of ["all", "each", "none"] as const) {
    it(`is installed by the migration class with migrationsTransactionMode "${transaction}"`, async () => {
      class AddShelf1700000000000 {
        up = (runner: { query(sql: string): Promise<unknown> }) => runner.query("create table shelf (id int)")
        down = (runner: { query(sql: string): Promise<unknown> }) => runner.query("drop table shelf")
      }
      const migrations = [AddShelf1700000000000 as never, MaintenanceMigration]
      const plugin = { migrate: false }
      await withMaintenance(database.url, { plugin, migrations }, async ({ dataSource, maintenance }) => {
        const error: unknown = await dataSource
          .query("create table early (id int)")
          .catch((thrown: unknown) => thrown)
        expect(error).to.be.instanceOf(MaintenanceSetupError)
        await dataSource.runMigrations({ transaction })
        await maintenance.enter("concurrent", { as: "alice" })
        const veto: unknown = await dataSource
          .query("create table late (id int)")
          .catch((thrown: unknown) => thrown)
        expect(veto).to.be.instanceOf(WriteVetoedError)
        await maintenance.leave({ as: "alice" })
        const refusal: unknown = await (async () => {
          await dataSource.undoLastMigration({ transaction })
          await dataSource.undoLastMigration({ transaction })
        })().catch((thrown: unknown) => thrown)
        expect(refusal).to.be.instanceOf(MaintenanceSetupError)
      })
      await withMaintenance(database.url, { plugin, migrations, migrationsRun: true }, ({ maintenance }) =>
        maintenance.status(),
      )
      await withPlainDataSource(database.url, { migrations }, async (dataSource) => {
        await dataSource.undoLastMigration()
        await dataSource.undoLastMigration()
      })
      expect(await database.sql("select to_regnamespace('maintenance') as schema")).to.deep.equal([
        { schema: null },
      ])
    })
  }
})

describe("The state on a dedicated server", function () {
  this.timeout(180_000)

  /**
   * A connection attempt that began while the server was down may fail a query after the server is up again.
   */
  const answered = <T>(ask: () => Promise<T>) => until(() => ask().catch(() => undefined))

  it("survives a crash of the server, and is still enforced", async () => {
    const server = await startEmbeddedServer()
    try {
      const dataSource = newDataSource(server.url, { synchronize: true })
      const maintenance = installMaintenance(dataSource)
      await dataSource.initialize()
      await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
      const before = windowOf(await maintenance.status())
      await server.crash()
      expect(windowOf(await answered(() => maintenance.status()))).to.deep.equal(before)
      const veto: unknown = await dataSource
        .getRepository(Item)
        .insert({ name: "crate" })
        .catch((thrown: unknown) => thrown)
      expect(veto).to.be.instanceOf(WriteVetoedError)
      await maintenance.runAs("alice", () => dataSource.getRepository(Item).insert({ name: "crate" }))
      await maintenance.leave({ as: "alice" })
      await dataSource.destroy()
      await maintenance.uninstall()
    } finally {
      await server.stop()
    }
  })
})

describe("The watch", () => {
  const database = useDatabase()
  before(() => openShop(database.current))

  const killWatches = () => endOwnSessions(database.current)

  it("refuses nothing early when it loses its connection, is replaced, and misses no change", async () => {
    await withMaintenance(database.current.url, {}, async ({ dataSource, maintenance }) => {
      await maintenance.enter("exclusive", { as: "alice" })
      await killWatches()
      await database.current.sql(
        "update maintenance.state set epoch = epoch + 1, mode = 'normal', maintainer = null, since = null, window_id = null",
      )
      const heard = new Promise<MaintenanceStatus>((resolve) => maintenance.on("change", resolve))
      expect(await heard).to.include({ mode: "normal" })
      expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
    })
  })

  it("does not keep an otherwise idle process alive", async () => {
    await startProcess(database.current.url)
  })

  it("uses one connection of its own, named after the package", async () => {
    await withMaintenance(database.current.url, { poolSize: 1 }, async () => {
      expect(
        await database.current.sql(
          "select count(*)::int from pg_stat_activity " +
            "where application_name = 'typeorm-maintenance-mode' and datname = current_database()",
        ),
      ).to.deep.equal([{ count: 1 }])
    })
  })

  it("refuses early again after its replacement", async () => {
    await withMaintenance(database.current.url, {}, async ({ dataSource, maintenance }) => {
      const changed = new Promise((resolve) => maintenance.on("change", resolve))
      await killWatches()
      await withClient(database.current.url, async (client: Client) => {
        await client.query("select maintenance.enter('exclusive', 'alice', false, null)")
      })
      await changed
      const runner = dataSource.createQueryRunner()
      const refusal: unknown = await runner.connect().catch((thrown: unknown) => thrown)
      expect(refusal).to.be.instanceOf(AccessRefusedError)
      await maintenance.leave({ as: "alice" })
    })
  })

  it("polls the state if LISTEN does not deliver, and warns once", async () => {
    const proxy = await Proxy.start(database.current.url, { dropsNotifications: true })
    const work = () =>
      withMaintenance(proxy.url, {}, async ({ dataSource, maintenance }) => {
        for (const mode of ["exclusive", "normal"] as const) {
          const heard = new Promise<MaintenanceStatus>((resolve) => maintenance.on("change", resolve))
          const change =
            mode === "normal" ? "leave('alice', false)" : `enter('${mode}', 'alice', false, null)`
          await database.current.sql(`select maintenance.${change}`)
          expect(await heard).to.include({ mode })
          const runner = dataSource.createQueryRunner()
          const outcome: unknown = await runner.query("select 1 as one").catch((error: unknown) => error)
          await runner.release()
          if (mode === "normal") expect(outcome).to.deep.equal([{ one: 1 }])
          else expect(outcome).to.be.instanceOf(AccessRefusedError)
        }
        expect((await maintenance.status()).instances).to.deep.equal([])
      })
    try {
      const warnings = await warningsDuring(work)
      expect(warnings).to.have.length(1)
      expect(warnings[0]).to.match(/^LISTEN does not deliver.*read every 1000 ms/)
    } finally {
      await proxy.stop()
    }
  })

  it("polls the state of a read replica, and listens once the replica is promoted", async function () {
    this.timeout(180_000)
    const primary = await startEmbeddedServer()
    const servers = [primary]
    try {
      await withMaintenance(primary.url, { synchronize: true }, () => Promise.resolve())
      const standby = await primary.startStandby()
      servers.push(standby)
      await withMaintenance(standby.url, {}, async ({ dataSource, maintenance }) => {
        const heard = new Promise<MaintenanceStatus>((resolve) => maintenance.on("change", resolve))
        await withMaintenance(primary.url, {}, (onPrimary) =>
          onPrimary.maintenance.enter("concurrent", { as: "alice" }),
        )
        expect(await heard).to.include({ mode: "concurrent" })
        expect(await dataSource.getRepository(Item).find()).to.deep.equal([])
        expect(await maintenance.status()).to.deep.include({ instances: [] })
        await withClient(standby.url, (client) => client.query("select pg_promote()"))
        let instances: readonly Instance[] = []
        await until(async () => {
          ;({ instances } = await maintenance.status())
          return instances.length > 0
        })
        expect(instances.map(({ pid }) => pid)).to.deep.equal([process.pid])
        const veto: unknown = await dataSource
          .getRepository(Item)
          .insert({ name: "crate" })
          .catch((error: unknown) => error)
        expect(veto).to.be.instanceOf(WriteVetoedError)
        await maintenance.leave({ as: "alice" })
      })
    } finally {
      for (const server of servers.reverse()) await server.stop()
    }
  })
})
