import { expect } from "chai"
import type { DataSource } from "typeorm"
import { installMaintenance, MaintenanceSetupError, WriteVetoedError } from "../../src"
import { newDataSource, withMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Item } from "../support/entities"
import { openShop } from "../support/shop"

/**
 * Everything in the host that the plugin could have changed: own properties of its parts, and listener
 * counts.
 */
function portrait(dataSource: DataSource): object {
  const { driver } = dataSource
  const { master } = driver as unknown as {
    master?: { _clients: { connection: NodeJS.EventEmitter }[] } & NodeJS.EventEmitter
  }
  const own = (host: object | undefined) => (host ? Reflect.ownKeys(host).map(String).toSorted() : [])
  const prototypeOf = (host: object) => own(Object.getPrototypeOf(host))
  const listeners = (emitter: NodeJS.EventEmitter) =>
    emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)])
  return {
    dataSource: [own(dataSource), prototypeOf(dataSource)],
    driver: [own(driver), prototypeOf(driver)],
    cache: own(dataSource.queryResultCache),
    runner: [own(dataSource.createQueryRunner()), dataSource.createQueryRunner().constructor.name],
    broadcaster: own(dataSource.createQueryRunner().broadcaster),
    subscribers: dataSource.subscribers.length,
    pool: master && [own(master), listeners(master)],
    clients: master?._clients.map(({ connection }) => [own(connection), listeners(connection)]),
  }
}

describe("uninstall()", () => {
  const database = useDatabase()
  before(() => openShop(database.current))

  for (const when of ["before", "after"] as const) {
    it(`restores the DataSource to its original state if installed ${when} initialize()`, async () => {
      const options = { cache: true }
      const expected = await withPlainDataSource(database.current.url, options, async (plain) => {
        await plain.query("select 1")
        return portrait(plain)
      })
      const dataSource = newDataSource(database.current.url, options)
      let maintenance
      if (when === "before") maintenance = installMaintenance(dataSource)
      await dataSource.initialize()
      maintenance ??= installMaintenance(dataSource)
      await dataSource.query("select 1")
      await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.leave({ as: "alice" })
      expect(portrait(dataSource)).not.to.deep.equal(expected)
      await maintenance.uninstall()
      expect(portrait(dataSource)).to.deep.equal(expected)
      await dataSource.query("select 1")
      await dataSource.destroy()
    })
  }

  it("ends the enforcement in this process only, and permits another installation", async () => {
    await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      const dataSource = newDataSource(database.current.url)
      const first = installMaintenance(dataSource)
      expect(() => installMaintenance(dataSource)).to.throw(
        MaintenanceSetupError,
        "already installed in this DataSource",
      )
      await dataSource.initialize()
      await first.uninstall()
      await dataSource.getRepository(Item).insert({ name: "unguarded" })
      const second = installMaintenance(dataSource)
      const veto: unknown = await dataSource
        .getRepository(Item)
        .insert({ name: "guarded" })
        .catch((error: unknown) => error)
      expect(veto).to.be.instanceOf(WriteVetoedError)
      await second.uninstall()
      await dataSource.destroy()
      await maintenance.leave({ as: "alice" })
    })
  })
})

describe("Two DataSources in one process", () => {
  const database = useDatabase()
  before(() => openShop(database.current))

  it("do not affect each other if only one has the plugin", async () => {
    await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
      await maintenance.enter("exclusive", { as: "alice" })
      await withPlainDataSource(database.current.url, {}, async (plain) => {
        await plain.getRepository(Item).save({ name: "from outside" })
        expect(await plain.getRepository(Item).countBy({ name: "from outside" })).to.equal(1)
      })
      await maintenance.leave({ as: "alice" })
    })
  })

  it("have separate modes if their schemas differ", async () => {
    const { url } = database.current
    await withMaintenance(url, { plugin: { schema: "one" } }, (one) =>
      withMaintenance(url, { plugin: { schema: "two" } }, async (two) => {
        await one.maintenance.enter("concurrent", { as: "alice" })
        await two.maintenance.enter("exclusive", { as: "bob" })
        await two.maintenance.leave({ as: "bob" })
        await two.dataSource.getRepository(Item).insert({ name: "by two" })
        const veto: unknown = await one.dataSource
          .getRepository(Item)
          .insert({ name: "by one" })
          .catch((error: unknown) => error)
        expect(veto).to.be.instanceOf(WriteVetoedError)
        await one.maintenance.leave({ as: "alice" })
      }),
    )
  })

  it("share the mode if they share the schema", async () => {
    const { url } = database.current
    await withMaintenance(url, {}, (one) =>
      withMaintenance(url, {}, async (two) => {
        await one.maintenance.enter("concurrent", { as: "alice" })
        expect(await two.maintenance.status()).to.include({ mode: "concurrent", maintainer: "alice" })
        const veto: unknown = await two.dataSource
          .getRepository(Item)
          .insert({ name: "by two, refused" })
          .catch((error: unknown) => error)
        expect(veto).to.be.instanceOf(WriteVetoedError)
        await two.maintenance.leave({ as: "alice" })
        await one.dataSource.getRepository(Item).insert({ name: "by one, later" })
      }),
    )
  })
})
