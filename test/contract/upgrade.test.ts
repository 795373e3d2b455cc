import { expect } from "chai"
import { installSchema, type SchemaStep, schemaVersion } from "../../src/state/schema"
import { schemaSteps } from "../../src/state/schema-steps"
import { withMaintenance } from "../support/data-source"
import { type TestDatabase, useFreshDatabase, withClient } from "../support/database"

/** A step that a later version may contain: columns, a function, and a record of each run. */
const nextStep: SchemaStep = {
  version: schemaVersion + 1,
  sql: `
    alter table {schema}.window add column if not exists scope text;
    alter table {schema}.state add column if not exists scope text;
    create table if not exists {schema}.was_run (at timestamptz not null default clock_timestamp());
    insert into {schema}.was_run default values;
    create or replace function {schema}.scope_of(window_id text) returns text language sql
      set search_path = pg_catalog, pg_temp
      begin atomic select w.scope from {schema}.window w where w.id = window_id; end;`,
}
const laterSteps = [...schemaSteps, nextStep]

describe("A schema of an earlier version", () => {
  let database: TestDatabase
  useFreshDatabase((created) => (database = created))
  beforeEach(() => withMaintenance(database.url, {}, () => Promise.resolve()))

  const install = (steps: readonly SchemaStep[]) =>
    withClient(database.url, (client) => installSchema(client, "maintenance", steps))
  const versions = () => database.sql("select version from maintenance.schema_version order by version")
  const timesRun = () => database.sql("select count(*)::int from maintenance.was_run")

  it("is upgraded by twenty processes at once, with the new step run only once", async () => {
    await Promise.all(Array.from({ length: 20 }, () => install(laterSteps)))
    expect(await versions()).to.deep.equal([{ version: schemaVersion }, { version: schemaVersion + 1 }])
    expect(await timesRun()).to.deep.equal([{ count: 1 }])
  })

  it("keeps its window, its epoch and its stamp during an upgrade", async () => {
    const kept = "select epoch, stamp, mode, maintainer, window_id from maintenance.state"
    await database.sql("select maintenance.enter('concurrent', 'alice', false)")
    const before = await database.sql(kept)
    await install(laterSteps)
    expect(await database.sql(kept)).to.deep.equal(before)
    expect(await database.sql("select id, scope from maintenance.window")).to.deep.equal([
      { id: before[0]?.["window_id"], scope: null },
    ])
    // The old functions still work with additional columns.
    await database.sql("select maintenance.extend('alice', false, 60000)")
    await database.sql("select maintenance.transfer('alice', false, 'bob')")
    await database.sql("select * from maintenance.read_state(true), maintenance.in_force()")
    await database.sql("select maintenance.leave('bob', false)")
  })

  it("is upgraded completely or not at all", async () => {
    const broken = { ...nextStep, sql: `${nextStep.sql}\nselect {schema}.what_is_not_there();` }
    const error = await install([...schemaSteps, broken]).catch((thrown: unknown) => thrown)
    expect(error).to.have.property("message").that.includes("could not be installed")
    expect(await versions()).to.deep.equal([{ version: schemaVersion }])
    expect(await database.sql("select to_regclass('maintenance.was_run') as found")).to.deep.equal([
      { found: null },
    ])
  })

  it("lets no role execute functions without a grant, including those of the new step", async () => {
    await install(laterSteps)
    const open = `select proname from pg_proc where pronamespace = 'maintenance'::regnamespace
      and has_function_privilege('pg_monitor', oid, 'execute')`
    expect(await database.sql(open)).to.deep.equal([])
  })

  it("is repaired by the later version, and usable by the earlier one", async () => {
    await install(laterSteps)
    await database.sql("drop function maintenance.scope_of")
    await install(laterSteps)
    expect(await database.sql("select maintenance.scope_of('none') as scope")).to.deep.equal([
      { scope: null },
    ])
    await withMaintenance(database.url, {}, async ({ maintenance }) => {
      await maintenance.enter("concurrent", { as: "alice" })
      await maintenance.leave({ as: "alice" })
    })
    expect(await versions()).to.deep.equal([{ version: schemaVersion }, { version: schemaVersion + 1 }])
  })
})
