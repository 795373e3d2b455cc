import { expect } from "chai"
import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { maintenanceSchemaSql, MaintenanceMigration, MaintenanceSetupError } from "../../src"
import { withMaintenance } from "../support/data-source"
import { TestDatabase, useFreshDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"

const root = resolve(__dirname, "../../..")
const grants = readFileSync(join(root, "docs/privileges.md"), "utf8")
const operating = readFileSync(join(root, "docs/guides/operating.md"), "utf8")
const blocks = (text: string) => [...text.matchAll(/^```sql\n(.*?)^```/gms)].map(([, sql]) => sql ?? "")
const nothing = () => Promise.resolve()

/** Calls that must fail for a role with only USAGE. */
const changes = [
  "select maintenance.enter('exclusive', 'mallory', true, null)",
  "select maintenance.leave('mallory', true)",
  "select maintenance.project()",
  "select maintenance.register('h', 1, 'v', 1)",
  "select maintenance.void(array['x'])",
  "select maintenance.status()",
]

describe("The privileges", () => {
  let database: TestDatabase
  const roles = ["shop", "on_call", "monitoring", "mallory"]
  beforeEach(async () => {
    database = await TestDatabase.create()
    for (const role of roles) await database.sql(`create role ${role} login`)
  })
  afterEach(async () => {
    for (const role of roles) await database.sql(`drop owned by ${role} cascade; drop role ${role}`)
    await database.drop()
  })

  const urlOf = (role: string) => {
    const url = new URL(database.url)
    url.username = role
    return url.toString()
  }
  const as = <Row extends object>(role: string, sql: string) =>
    withClient(urlOf(role), async (client) => (await client.query<Row>(sql)).rows)
  const codeOf = async (promise: Promise<unknown>) =>
    (await errorOf(promise)) as { code?: string } | undefined
  /** Functions that any role with USAGE on the schema may execute. */
  const open = () =>
    database.sql(
      `select proname from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
       where pronamespace = 'maintenance'::regnamespace and grantee = 0`,
    )

  const installed: Record<string, () => Promise<unknown>> = {
    "at the first start": () => withMaintenance(database.url, {}, nothing),
    "by the SQL for a DBA, without a role": () => database.sql(maintenanceSchemaSql()),
    "by the migration": () =>
      withMaintenance(
        database.url,
        { plugin: { migrate: false }, migrations: [MaintenanceMigration] },
        ({ dataSource }) => dataSource.runMigrations(),
      ),
    "earlier, with EXECUTE for PUBLIC": async () => {
      await withMaintenance(database.url, {}, nothing)
      await database.sql("grant execute on all functions in schema maintenance to public")
      await withMaintenance(database.url, {}, nothing)
    },
    "earlier, with PostgreSQL's default privileges": async () => {
      await withMaintenance(database.url, {}, nothing)
      await database.sql("update pg_proc set proacl = null where pronamespace = 'maintenance'::regnamespace")
      await withMaintenance(database.url, {}, nothing)
    },
  }
  for (const [when, install] of Object.entries(installed)) {
    it(`let a role with only USAGE execute nothing if the schema was installed ${when}`, async () => {
      await install()
      await database.sql("grant usage on schema maintenance to mallory")
      for (const change of changes) {
        expect(await codeOf(as("mallory", change)), change).to.have.property("code", "42501")
      }
      expect(await open()).to.deep.equal([])
    })
  }

  it("do not prevent an application from starting if its role may not revoke those of PUBLIC", async () => {
    await withMaintenance(database.url, {}, nothing)
    for (const grant of blocks(grants).filter((sql) => sql.includes("to shop"))) await database.sql(grant)
    await database.sql("grant execute on all functions in schema maintenance to public")
    await withMaintenance(urlOf("shop"), {}, async ({ maintenance }) => {
      expect(await maintenance.status()).to.include({ mode: "normal" })
    })
  })

  it("are sufficient as documented: for the application, on-call and monitoring", async () => {
    await withMaintenance(database.url, {}, nothing)
    for (const grant of blocks(grants)) await database.sql(grant)
    await withMaintenance(urlOf("shop"), { plugin: { migrate: false } }, async ({ maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.leave({ as: "alice" })
    })
    const read = "select * from maintenance.status(), maintenance.holders(1)"
    for (const role of ["monitoring", "on_call"]) await as(role, read)
    for (const name of ["instances", "windows"]) await as("monitoring", `select * from maintenance.${name}()`)
    for (const change of changes.slice(0, -1)) {
      expect(await codeOf(as("monitoring", change)), change).to.have.property("code", "42501")
    }
    const statements = blocks(operating)
      .flatMap((block) => block.split(/;$/m))
      .map((statement) => statement.trim())
      .filter(Boolean)
    for (const statement of statements) {
      const enter = "select maintenance.enter('exclusive', 'alice', false, 'by hand')"
      await withClient(urlOf("on_call"), async (client) => {
        await client.query("begin")
        await client.query(enter)
        await client.query(statement)
        await client.query("rollback")
      })
    }
  })
})

describe("An existing schema with the chosen name", () => {
  let database: TestDatabase
  useFreshDatabase((created) => (database = created))

  const comment = async () =>
    (
      await database.sql<{ note: string | null }>(
        "select obj_description('maintenance'::regnamespace, 'pg_namespace') as note",
      )
    )[0]?.note
  const objects = () =>
    database.sql("select from pg_depend where refobjid = 'maintenance'::regnamespace and deptype = 'n'")

  const foreign: Record<string, string> = {
    "a table": "create table maintenance.visit (id int)",
    "a function": "create function maintenance.status() returns int language sql as 'select 1'",
    "a type": "create type maintenance.mood as enum ('fine')",
    "a foreign table schema_version": "create table maintenance.schema_version (version text)",
  }
  const installs: Record<string, (own: TestDatabase) => Promise<unknown>> = {
    "an application": (own) => withMaintenance(own.url, {}, nothing),
    "the migration": (own) =>
      withMaintenance(
        own.url,
        { plugin: { migrate: false }, migrations: [MaintenanceMigration] },
        ({ dataSource }) => dataSource.runMigrations(),
      ),
  }
  for (const [what, sql] of Object.entries(foreign)) {
    it(`is rejected and left unchanged if it contains ${what} of something else`, async () => {
      await database.sql(`create schema maintenance; comment on schema maintenance is 'garden'; ${sql}`)
      for (const [who, install] of Object.entries(installs)) {
        const error = await errorOf(install(database))
        expect(error, who).to.be.instanceOf(MaintenanceSetupError)
        expect((error as Error).message).to.include("name a schema that does not exist yet")
      }
      const script = await errorOf(database.sql(maintenanceSchemaSql()))
      expect((script as Error).message).to.equal(
        'the schema "maintenance" holds objects that do not belong to typeorm-maintenance-mode',
      )
      expect(await comment()).to.equal("garden")
      expect(await objects()).to.have.length(1)
    })
  }

  it("is used if it is empty and belongs to the role, which may not create schemas", async () => {
    await database.sql("create role tenant login")
    await database.sql("create schema maintenance authorization tenant")
    const url = new URL(database.url)
    url.username = "tenant"
    await withMaintenance(url.toString(), {}, async ({ maintenance }) => {
      expect(await maintenance.status()).to.include({ mode: "normal" })
    })
    expect(await comment()).to.match(/belongs to typeorm-maintenance-mode\.$/)
    // Foreign functions are ignored.
    await database.sql(
      `create function maintenance.report() returns int language sql as 'select 1';
       revoke execute on function maintenance.report from public; drop function maintenance.untold`,
    )
    await withMaintenance(url.toString(), {}, nothing)
    expect(await database.sql("select from pg_proc where proname = 'untold'")).to.have.length(1)
    await database.sql("drop owned by tenant cascade; drop role tenant")
  })

  it("is repaired if it belongs to the plugin, whatever was lost or added", async () => {
    await withMaintenance(database.url, {}, nothing)
    await database.sql("create table maintenance.visit (id int); drop table maintenance.schema_version")
    await withMaintenance(database.url, {}, nothing)
    await database.sql("comment on schema maintenance is 'ours'; drop function maintenance.status cascade")
    await withMaintenance(database.url, {}, async ({ maintenance }) => {
      expect(await maintenance.status()).to.include({ mode: "normal" })
    })
    expect(await comment()).to.equal("ours")
  })
})
