import { expect } from "chai"
import * as pg from "pg"
import type { DataSource } from "typeorm"
import { AccessRefusedError, MaintenanceSetupError, WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { notWaiting } from "../support/window"

const insert = (name: string) => `insert into loot values ('${name}')`

/** Sends a text. Resolves with the command tags, rejects with the error. */
type Send = (client: pg.ClientBase, text: string) => Promise<string | string[]>

const tagsOf = (result: pg.QueryResult | pg.QueryResult[]) =>
  Array.isArray(result) ? result.map(({ command }) => command) : result.command

const sends: Record<string, Send> = {
  "as a text": async (client, text) => tagsOf(await client.query(text)),
  "as a query object": (client, text) =>
    new Promise((resolve, reject) => {
      const query = new pg.Query(text) as pg.Query & { callback: unknown }
      query.callback = (error: Error | null, result: pg.QueryResult) =>
        error ? reject(error) : resolve(tagsOf(result))
      client.query(query)
    }),
}

/** Texts of which PostgreSQL runs nothing in a failed transaction. */
const refused = [
  `(select 1); ${insert("x")}; end`,
  `;${insert("x")}; commit`,
  `prepare x as select 1; ${insert("x")}`,
  "execute p0; execute p0",
  `commit prepared 'x'; ${insert("x")}`,
  `/* commit; */ ${insert("x")}; commit`,
  `select 'rollback'; ${insert("x")}; commit`,
]

/**
 * Texts that begin with the end of a transaction, or return to a savepoint. With the tags of their
 * statements, and the rows stored.
 */
const run: [text: string, tags: string | string[], stored: string[]][] = [
  ["commit -- done", "ROLLBACK", []],
  ["rollback /* a /* b */ */", "ROLLBACK", []],
  [`rollback; ${insert("new")}`, ["ROLLBACK", "INSERT"], ["new"]],
  [`;; rollback -- ;\n; ${insert("new")}; select 1`, ["ROLLBACK", "INSERT", "SELECT"], ["new"]],
  ["rollback to a; commit", ["ROLLBACK", "COMMIT"], ["old"]],
  [`rollback to "a" ; ${insert("new")}; end`, ["ROLLBACK", "INSERT", "COMMIT"], ["new", "old"]],
  [`rollback and chain; ${insert("new")}; commit`, ["ROLLBACK", "INSERT", "COMMIT"], ["new"]],
  [`rollback; begin; ${insert("new")}`, ["ROLLBACK", "BEGIN", "INSERT"], []],
]

/** Ways in which another user rolls back. */
const rollbacks = [
  "rollback -- given up",
  "rollback; -- given up",
  "/* a /* b */ */ rollback",
  "rollback and no chain",
]

describe("A failed transaction", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })
  before(() => database.current.sql("create table loot (name text)"))
  beforeEach(() => database.current.sql("truncate loot"))

  const loot = async () =>
    (await database.current.sql<{ name: string }>("select name from loot order by name")).map(
      ({ name }) => name,
    )
  const onClient = async (work: (client: pg.ClientBase) => Promise<void>, { failed = true } = {}) => {
    const { dataSource }: { dataSource: DataSource } = installed.current
    const runner = dataSource.createQueryRunner()
    const client = (await runner.connect()) as pg.ClientBase
    try {
      for (const text of [
        "deallocate all",
        `prepare p0 as ${insert("x")}`,
        "begin",
        insert("old"),
        "savepoint a",
      ])
        await client.query(text)
      if (failed) await errorOf(client.query("select 1 / 0"))
      await work(client)
    } finally {
      await runner.release()
    }
  }
  /** The state of the connection, as shown by a savepoint: in a transaction, in a failed one, or in none. */
  const statusOf = async (client: pg.ClientBase): Promise<unknown> => {
    const error = (await errorOf(client.query("savepoint probe"))) as { code?: string } | undefined
    return error?.code ?? "in a transaction"
  }

  for (const [how, send] of Object.entries(sends)) {
    for (const text of refused) {
      it(`runs nothing of ${text}, ${how}`, () =>
        onClient(async (client) => {
          expect(await errorOf(send(client, text))).to.have.property("code", "25P02")
          expect(await statusOf(client)).to.equal("25P02")
          await client.query("rollback to a; commit")
          expect(await loot()).to.deep.equal(["old"])
        }))
    }

    for (const [text, tags, stored] of run) {
      it(`runs all of ${JSON.stringify(text)}, ${how}`, () =>
        onClient(async (client) => {
          expect(await send(client, text)).to.deep.equal(tags)
          expect(await loot()).to.deep.equal(stored)
        }))
    }

    it(`runs nothing of a text with a syntax error, ${how}`, () =>
      onClient(async (client) => {
        expect(await errorOf(send(client, `rollback; ${insert("x")}; selec`))).to.have.property(
          "code",
          "42601",
        )
        expect(await statusOf(client)).to.equal("25P02")
      }))

    it(`is ended by a COMMIT, ${how}`, () =>
      onClient(async (client) => {
        expect(await send(client, "commit")).to.equal("ROLLBACK")
        expect(await statusOf(client)).to.equal("25P01")
      }))

    for (const [text] of run.filter(([, , names]) => names.length > 0)) {
      it(`stores nothing by ${JSON.stringify(text)} of another user in concurrent mode, ${how}`, async () => {
        const { maintenance } = installed.current
        await maintenance.enter("concurrent", { as: "alice" })
        await onClient(async (client) => {
          expect(await errorOf(send(client, text))).to.be.instanceOf(WriteVetoedError)
        })
        expect(await loot()).to.deep.equal([])
        await maintenance.leave({ as: "alice" })
      })
    }

    for (const text of rollbacks) {
      for (const mode of ["concurrent", "exclusive"] as const) {
        it(`is ended, like any other transaction, by ${JSON.stringify(text)} of another user in ${mode} mode, ${how}`, async () => {
          const { maintenance } = installed.current
          await onClient(
            async (client) => {
              await maintenance.enter(mode, { as: "alice", drain: notWaiting })
              expect(await send(client, text)).to.equal("ROLLBACK")
              const [left] = await database.current.sql<{ count: number }>(
                "select count(*)::int from pg_stat_activity where datname = current_database() and state like 'idle in%'",
              )
              expect(left).to.deep.equal({ count: 0 })
              await maintenance.leave({ as: "alice" })
            },
            { failed: false },
          )
        })
      }
    }

    it(`is rolled back, like any other transaction, by ROLLBACK AND CHAIN of another user, ${how}; further statements are refused`, async () => {
      const { maintenance } = installed.current
      await onClient(
        async (client) => {
          await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
          expect(await send(client, "rollback and chain")).to.equal("ROLLBACK")
          expect(await errorOf(send(client, insert("x")))).to.be.instanceOf(AccessRefusedError)
          await maintenance.leave({ as: "alice" })
          await client.query("commit")
        },
        { failed: false },
      )
      expect(await loot()).to.deep.equal([])
    })
  }

  it("rejects a text that may continue after an end that cannot be located, and says so", () =>
    onClient(async (client) => {
      const unclear = `rollback to U&"a"; ${insert("x")}; commit`
      expect(await errorOf(client.query(unclear))).to.be.instanceOf(MaintenanceSetupError)
      expect(await errorOf(sends["as a query object"]!(client, unclear))).to.have.property("code", "25P02")
      expect(await statusOf(client)).to.equal("25P02")
      await client.query('rollback to U&"a"')
      await client.query("commit")
      expect(await loot()).to.deep.equal(["old"])
    }))

  it("keeps its connection if a query object may end it, and a text of several statements has begun it", () =>
    onClient(
      async (client) => {
        await client.query("rollback")
        await client.query("select 1; begin")
        await client.query(`${insert("old")}; savepoint a`)
        await errorOf(client.query("select 1 / 0"))
        const unclear = `rollback to U&"a"; ${insert("x")}; commit`
        expect(await errorOf(sends["as a query object"]!(client, unclear))).to.have.property("code", "25P02")
        expect(await statusOf(client)).to.equal("25P02")
        await client.query("rollback to a; commit")
        expect(await loot()).to.deep.equal(["old"])
        // Nothing that it has held is left, which would hold up a window.
        const { maintenance } = installed.current
        const window = { as: "alice", drain: { withinMs: 0 } }
        await maintenance.during("concurrent", window, () => undefined)
      },
      { failed: false },
    ))

  it("does not arise if a text continues after a DO with a BEGIN: that transaction stays open", () =>
    onClient(
      async (client) => {
        await client.query("rollback")
        await client.query(`do $$ begin ${insert("by a do")}; end $$; begin; ${insert("x")}`)
        expect(await statusOf(client)).to.equal("in a transaction")
        await client.query("commit")
        expect(await loot()).to.deep.equal(["by a do", "x"])
      },
      { failed: false },
    ))
})
