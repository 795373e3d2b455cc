import { expect } from "chai"
import { existsSync, renameSync, symlinkSync } from "node:fs"
import { withMaintenance } from "../support/data-source"
import { withClient } from "../support/database"
import { type EmbeddedServer, startEmbeddedServer } from "../support/embedded-server"
import { errorOf } from "../support/error-of"
import { ledgerSql, post, posted, postSql } from "../support/ledger"
import type { Outsider } from "../support/shop"
import { windowOf } from "../support/window"

const as = "alice"
/** Limit of the file size. A table of this size cannot grow, as on a full disk. */
const largestFileBytes = 1024 * 1024
const fullDevice = "/dev/full"

/** Repeats a change until it fails. */
const repeatSql = `
  create procedure repeat_for_ever(change text) language plpgsql as
    'begin loop execute change; commit; end loop; end'`
/** A table whose rows insert others into the ledger at COMMIT, after the fence. */
const promiseSql = `
  create table promise (id serial primary key);
  create function keep_promise() returns trigger language plpgsql as
    'begin ${postSql.replaceAll("'", "''")}; return null; end';
  create constraint trigger keep_promise after insert on promise deferrable initially deferred
    for each row execute function keep_promise();
`

describe("A full disk", function () {
  this.timeout(180_000)
  let server: EmbeddedServer
  let outsider: Outsider
  before(async () => {
    server = await startEmbeddedServer({ largestFileBytes })
    outsider = {
      sql: <Row extends object>(text: string, values?: unknown[]) =>
        withClient(server.url, async (client) => (await client.query(text, values)).rows as Row[]),
    }
    await outsider.sql(ledgerSql)
    await outsider.sql(repeatSql)
    await outsider.sql(promiseSql)
  })
  after(() => server.stop())

  const assertFull = (error: unknown) => {
    expect(error).to.be.instanceOf(Error)
    expect((error as Error).message).to.include("could not extend file")
  }
  /** Lets a table grow by repeated changes, the large ones first, until none fits. */
  const fill = async (...changes: string[]) => {
    for (const change of changes)
      assertFull(await errorOf(outsider.sql("call repeat_for_ever($1)", [change])))
  }
  /**
   * Runs while a table cannot grow, so that a longer row fails. Its old row versions are kept for an old
   * snapshot.
   */
  const whileFull = async (table: "state" | "window", work: () => Promise<void>): Promise<void> => {
    await withClient(server.url, async (old) => {
      await old.query("begin isolation level repeatable read; select 1")
      const [{ reason } = { reason: null }] = await outsider.sql<{ reason: string | null }>(
        `select reason from maintenance.${table} order by ctid desc limit 1`,
      )
      const change = (to: string) => `update maintenance.${table} set reason = ${to}`
      await fill(change("repeat('x', 1000)"), change(reason === null ? "null" : `'${reason}'`))
      await work()
    })
    await outsider.sql(`vacuum maintenance.${table}`)
  }

  it("makes enter() fail, and leaves the mode as it was", async () => {
    await withMaintenance(server.url, {}, async ({ dataSource, maintenance }) => {
      await whileFull("state", async () => {
        const before = await maintenance.status()
        assertFull(await errorOf(maintenance.enter("concurrent", { as })))
        expect(await maintenance.status()).to.deep.equal(before)
        expect(before).to.include({ mode: "normal", state: "normal", isInterrupted: false })
        expect(await post(dataSource)).to.equal("done")
      })
      await maintenance.enter("concurrent", { as })
      expect(await post(dataSource)).to.equal("WriteVetoedError")
      await maintenance.leave({ as })
      expect(await post(dataSource)).to.equal("done")
    })
  })

  it("makes leave() fail, and leaves the window in force", async () => {
    await withMaintenance(server.url, {}, async ({ dataSource, maintenance }) => {
      const before = await maintenance.enter("concurrent", { as, reason: "rebuild" })
      await whileFull("window", async () => {
        const rows = await posted(outsider)
        for (const who of [as, "break-glass"]) assertFull(await errorOf(maintenance.leave({ as: who })))
        expect(windowOf(await maintenance.status())).to.deep.equal(windowOf(before))
        expect(await post(dataSource)).to.equal("WriteVetoedError")
        expect(await maintenance.runAs(as, () => post(dataSource))).to.equal("done")
        expect(await posted(outsider)).to.equal(rows + 1)
      })
      await maintenance.leave({ as })
      expect(await post(dataSource)).to.equal("done")
    })
  })

  /** Runs while the file of a table is a device without space, so that no row can be stored. */
  const onFullDevice = async (table: string, work: () => Promise<void>): Promise<void> => {
    const [file] = await outsider.sql<{ path: string }>(
      "select current_setting('data_directory') || '/' || pg_relation_filepath($1) as path",
      [table],
    )
    const { path } = file as { path: string }
    await outsider.sql("checkpoint")
    renameSync(path, `${path}.aside`)
    symlinkSync(fullDevice, path)
    try {
      await work()
    } finally {
      renameSync(`${path}.aside`, path)
    }
  }

  for (const [what, sql] of [
    ["a statement", postSql],
    ["a COMMIT after its fence", "insert into promise default values"],
  ] as const) {
    // The device exists on Linux only.
    if (existsSync(fullDevice)) {
      it(`makes ${what} fail with PostgreSQL's disk_full; nothing is stored, and no switch waits for it`, async () => {
        await outsider.sql("truncate ledger")
        await withMaintenance(server.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
          const written = () => dataSource.transaction((manager) => manager.query(sql))
          await onFullDevice("ledger", async () => {
            for (const write of [written, () => dataSource.query(sql)]) {
              const error = await errorOf(write())
              assertFull(error)
              expect(error).to.have.nested.property("driverError.code", "53100")
            }
            await maintenance.enter("exclusive", { as })
            assertFull(await errorOf(maintenance.runAs(as, written)))
            await maintenance.leave({ as })
          })
        })
        // The session that had opened the device has ended.
        await withMaintenance(server.url, {}, async ({ dataSource }) => {
          expect(await posted(outsider)).to.equal(0)
          expect(await outsider.sql("select from promise")).to.have.length(0)
          expect(await post(dataSource)).to.equal("done")
        })
      })
    }

    it(`makes ${what} fail; nothing is stored, and no switch waits for it`, async () => {
      await withMaintenance(server.url, { poolSize: 1 }, async ({ dataSource, maintenance }) => {
        await fill("insert into ledger (note) values (repeat('x', 1000))", postSql)
        const rows = await posted(outsider)
        const written = () => dataSource.transaction((manager) => manager.query(sql))
        assertFull(await errorOf(written()))
        assertFull(await errorOf(dataSource.query(sql)))
        expect(await outsider.sql("select from promise")).to.have.length(0)
        await maintenance.enter("exclusive", { as })
        assertFull(await errorOf(maintenance.runAs(as, written)))
        expect(await posted(outsider)).to.equal(rows)
        await maintenance.leave({ as })
        await outsider.sql("truncate ledger")
        expect(await post(dataSource)).to.equal("done")
      })
    })
  }
})
