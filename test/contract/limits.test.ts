import { expect } from "chai"
import { Pool } from "pg"
import { MaintenanceSetupError, maintenanceSchemaSql, WriteVetoedError } from "../../src"
import { describeUnless } from "../support/columns"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { postgresVersion } from "../support/embedded-server"
import { errorOf } from "../support/error-of"
import { poolOf } from "../support/pool"
import { sharedUrl } from "../support/server"
import { openShop } from "../support/shop"
import { endWindowAfterEach } from "../support/window"

describe("A limit described in the README", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  for (const statement of ["analyze audit", "select nextval('untouched')", "select txid_current()"]) {
    it(`includes false alarms: ${statement}`, async () => {
      const { dataSource, maintenance } = installed.current
      await database.current.sql("create sequence if not exists untouched")
      await maintenance.enter("concurrent", { as: "alice" })
      expect(await errorOf(dataSource.query(statement))).to.be.instanceOf(WriteVetoedError)
    })
  }

  it("requires the grants for a role that is assumed by SET ROLE", async () => {
    const { dataSource } = installed.current
    const role = `taken_${process.pid}`
    await database.current.sql(`create role ${role}; grant insert on audit to ${role}`)
    const write = () =>
      dataSource.transaction(async (manager) => {
        await manager.query(`set local role ${role}`)
        await manager.query("insert into audit (note) values ('as a role')")
      })
    const stored = () => database.current.sql("select from audit where note = 'as a role'")
    try {
      await database.current.sql(`grant usage on sequence audit_id_seq to ${role}`)
      expect(await errorOf(write())).to.be.instanceOf(MaintenanceSetupError)
      expect(await stored()).to.have.length(0)
      await database.current.sql(maintenanceSchemaSql({ role }))
      await write()
      expect(await stored()).to.have.length(1)
    } finally {
      await database.current.sql(`drop owned by ${role}; drop role ${role}`)
    }
  })

  for (const isolation of ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] as const) {
    it(`lets a transaction that is open across a window commit after it, with its earlier reads: ${isolation}`, async () => {
      const { dataSource, maintenance } = installed.current
      const runner = dataSource.createQueryRunner()
      try {
        await runner.startTransaction(isolation)
        const [{ count }] = (await runner.query("select count(*) from audit")) as [{ count: string }]
        await maintenance.during("concurrent", { as: "alice" }, () =>
          dataSource.query("insert into audit (note) values ('by alice')"),
        )
        await runner.query("insert into audit (note) values ($1)", [`${isolation} ${count}`])
        await runner.commitTransaction()
        const note = `note = '${isolation} ${count}'`
        expect(await database.current.sql(`select from audit where ${note}`)).to.have.length(1)
      } finally {
        await runner.release()
      }
    })
  }

  it("fences a library with its own pool only if it uses the pool of the DataSource", async () => {
    const { dataSource, maintenance } = installed.current
    const pool = poolOf(dataSource)
    await maintenance.enter("concurrent", { as: "alice" })
    const insertion = "insert into audit (note) values ('by a library')"
    expect(await errorOf(pool.query(insertion))).to.be.instanceOf(WriteVetoedError)
    const ofItsOwn = new Pool({ connectionString: database.current.url })
    try {
      await ofItsOwn.query(insertion)
    } finally {
      await ofItsOwn.end()
    }
    expect(await database.current.sql("select from audit where note = 'by a library'")).to.have.length(1)
  })
})

/** The reason why there can be no login event trigger, if so. */
function loginTriggersMissing(): string | undefined {
  if (sharedUrl !== undefined) return "it needs a superuser, and a server of its own"
  return Number(postgresVersion()) < 17 ? "PostgreSQL 17 introduced it" : undefined
}

describeUnless(loginTriggersMissing(), "A login event trigger", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)

  it("stores what it writes, in a window too, because it runs before anything of the plugin", async () => {
    await database.current.sql(`
      create table login (application text);
      create function note_login() returns event_trigger language plpgsql as
        'begin insert into login values (current_setting(''application_name'')); end';
      create event trigger note_login on login execute function note_login()`)
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
    const late = { applicationName: "late" }
    await withMaintenance(database.current.url, late, async ({ dataSource, maintenance }) => {
      expect(await maintenance.status()).to.include({ mode: "concurrent" })
      const write = dataSource.query("insert into login values ('by a statement')")
      expect(await errorOf(write)).to.be.instanceOf(WriteVetoedError)
    })
    const found = await database.current.sql("select distinct application from login")
    const applications = found.map(({ application }) => application)
    expect(applications).to.include("late").and.to.not.include("by a statement")
  })
})
