import { expect } from "chai"
import { type MigrationInterface, type QueryRunner } from "typeorm"
import { AccessRefusedError, installMaintenance, WriteVetoedError } from "../../src"
import { newDataSource, withMaintenance, withPlainDataSource } from "../support/data-source"
import { type TestDatabase, useFreshDatabase } from "../support/database"
import { Item } from "../support/entities"

class AddShelf1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query("create table shelf (id int)")
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query("drop table shelf")
  }
}

describe("TypeORM's start-up", () => {
  let database: TestDatabase
  useFreshDatabase((created) => (database = created))

  const enter = (mode: "concurrent" | "exclusive") =>
    withMaintenance(database.url, {}, ({ maintenance }) => maintenance.enter(mode, { as: "alice" }))
  const tables = async () =>
    (
      await database.sql<{ name: string }>(
        "select tablename as name from pg_tables where schemaname = 'public' order by 1",
      )
    ).map(({ name }) => name)

  for (const mode of ["concurrent", "exclusive"] as const) {
    it(`succeeds in ${mode} mode, even with extensions to install, and the application's queries are refused`, async () => {
      await enter(mode)
      const options = { extensions: ["plpgsql"], installExtensions: true } as object
      await withMaintenance(database.url, options, async ({ dataSource, maintenance }) => {
        const refusal: unknown = await dataSource
          .query("create table extra (id int)")
          .catch((error: unknown) => error)
        expect(refusal).to.be.instanceOf(mode === "exclusive" ? AccessRefusedError : WriteVetoedError)
        expect(await maintenance.leave({ as: "alice" })).to.include({ mode: "normal" })
        await dataSource.query("create table extra (id int)")
      })
    })

    it(`succeeds a second time in ${mode} mode, after destroy()`, async () => {
      const dataSource = newDataSource(database.url)
      const maintenance = installMaintenance(dataSource)
      await dataSource.initialize()
      await maintenance.enter(mode, { as: "alice" })
      await dataSource.destroy()
      await dataSource.initialize()
      expect(await maintenance.status()).to.include({ mode, maintainer: "alice" })
      const refusal: unknown = await dataSource
        .query("create table extra (id int)")
        .catch((error: unknown) => error)
      expect(refusal).to.be.instanceOf(mode === "exclusive" ? AccessRefusedError : WriteVetoedError)
      await dataSource.destroy()
      await maintenance.uninstall()
    })

    it(`refuses synchronize, dropSchema and migrations in ${mode} mode, except to the maintainer`, async () => {
      await withPlainDataSource(database.url, { synchronize: true }, (dataSource) =>
        dataSource.getRepository(Item).save({ name: "anvil" }),
      )
      await enter(mode)
      const before = await tables()
      await withMaintenance(
        database.url,
        { migrations: [AddShelf1700000000000] },
        async ({ dataSource, maintenance }) => {
          await database.sql("alter table item drop column stock")
          for (const attempt of [
            () => dataSource.synchronize(),
            () => dataSource.dropDatabase(),
            () => dataSource.synchronize(true),
            () => dataSource.runMigrations(),
            () => dataSource.runMigrations({ transaction: "each" }),
            () => dataSource.runMigrations({ transaction: "none" }),
          ]) {
            const refusal: unknown = await attempt().catch((error: unknown) => error)
            expect(refusal).to.be.instanceOf(mode === "exclusive" ? AccessRefusedError : WriteVetoedError)
            expect(await tables()).to.deep.equal(before)
          }
          expect(await database.sql("select count(*)::int from item")).to.deep.equal([{ count: 1 }])

          await maintenance.runAs("alice", async () => {
            await dataSource.synchronize()
            await dataSource.runMigrations()
            expect(await tables()).to.include.members(["migrations", "shelf"])
            await dataSource.undoLastMigration()
            await dataSource.dropDatabase()
          })
          expect(await tables()).to.deep.equal([])
          expect(await maintenance.status()).to.include({ mode })
        },
      )
    })
  }

  it("installs the schema before migrations and synchronize on the first start", async () => {
    const options = {
      migrations: [AddShelf1700000000000],
      migrationsRun: true,
      synchronize: true,
      dropSchema: true,
    }
    await withMaintenance(database.url, options, async ({ maintenance }) => {
      expect(await maintenance.status()).to.include({ mode: "normal", epoch: 1 })
      expect(await tables()).to.include.members(["item", "migrations", "shelf"])
    })
  })

  it("may precede the installation of the plugin", async () => {
    const dataSource = newDataSource(database.url, { synchronize: true })
    await dataSource.initialize()
    const maintenance = installMaintenance(dataSource)
    await dataSource.getRepository(Item).save({ name: "anvil" })
    await maintenance.enter("concurrent", { as: "alice" })
    const veto: unknown = await dataSource
      .getRepository(Item)
      .save({ name: "broom" })
      .catch((error: unknown) => error)
    expect(veto).to.be.instanceOf(WriteVetoedError)
    await dataSource.destroy()
    await maintenance.uninstall()
  })
})
