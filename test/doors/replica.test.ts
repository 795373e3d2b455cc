import { expect } from "chai"
import type { QueryResultRow } from "pg"
import type { DataSource } from "typeorm"
import { AccessRefusedError, type Mode, WriteVetoedError } from "../../src"
import { type Installed, withMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { type EmbeddedServer, type Standby, startEmbeddedServer } from "../support/embedded-server"
import { Item } from "../support/entities"
import { openShop, type Premises, restock } from "../support/shop"
import { windowOf } from "../support/window"

/** Runs texts one after the other on TypeORM's replica connection. Resolves with the last result. */
async function onReplica(dataSource: DataSource, ...texts: string[]): Promise<unknown> {
  const runner = dataSource.createQueryRunner("slave")
  try {
    let rows: unknown
    for (const text of texts) rows = await runner.query(text)
    return rows
  } finally {
    await runner.release()
  }
}

/** A client without the plugin, on the database of a URL. */
const outsiderOf = (url: string): Premises => ({
  url,
  sql: async <Row extends object>(text: string, values?: unknown[]) =>
    withClient(url, async (client) => (await client.query<Row & QueryResultRow>(text, values)).rows),
})

const insert = "insert into audit (note) values ('new')"

describe("A database that TypeORM uses as a replica", () => {
  const database = useDatabase()
  const other = useDatabase()
  before(async () => {
    await openShop(database.current)
    await openShop(other.current)
  })
  beforeEach(() => restock(other.current))

  /** A replica that is another database: it lacks the schema of the plugin, and is writable. */
  const replicated = (work: (installed: Installed) => Promise<unknown>) => {
    const [master, replica] = [{ url: database.current.url }, { url: other.current.url }]
    return withMaintenance(
      database.current.url,
      { url: undefined, replication: { master, slaves: [replica] } } as object,
      work,
    )
  }
  const stored = async () => (await other.current.sql("select from audit where note = 'new'")).length

  it("is read without the state, alone and in a transaction", async () => {
    await replicated(async ({ dataSource, maintenance }) => {
      for (const mode of ["normal", "concurrent"] as const) {
        await maintenance.enter(mode, { as: "alice" }).catch(() => undefined)
        expect(await onReplica(dataSource, "select 1 as one")).to.deep.equal([{ one: 1 }])
        expect(await onReplica(dataSource, "begin", "select 1 as one", "commit")).to.deep.equal([])
      }
      await maintenance.leave({ as: "alice" })
    })
  })

  it("does not have its backends taken for the maintainer's if their process ids match", async () => {
    await replicated(async ({ dataSource, maintenance }) => {
      const runner = dataSource.createQueryRunner("slave")
      const pid = "select pg_backend_pid() as pid"
      const [{ pid: elsewhere }] = (await maintenance.runAs("alice", () => runner.query(pid))) as [
        { pid: number },
      ]
      const [{ pid: here }] = (await dataSource.query(pid)) as [{ pid: number }]
      await maintenance.enter("concurrent", { as: "alice" })
      const [row] = await database.current.sql<{ pool: number[] }>("select pool from maintenance.instance")
      expect(row?.pool).to.include(here).and.not.to.include(elsewhere)
      await runner.release()
      await maintenance.leave({ as: "alice" })
    })
  })

  it("is refused in exclusive mode", async () => {
    await replicated(async ({ dataSource, maintenance }) => {
      await maintenance.enter("exclusive", { as: "alice" })
      const refusal: unknown = await onReplica(dataSource, "select 1").catch((error: unknown) => error)
      expect(refusal).to.be.instanceOf(AccessRefusedError)
      expect(await maintenance.runAs("alice", () => onReplica(dataSource, "select 1 as one"))).to.deep.equal([
        { one: 1 },
      ])
      await maintenance.leave({ as: "alice" })
    })
  })

  for (const [name, texts] of Object.entries({
    alone: [insert],
    "in a transaction": ["begin", insert, "commit"],
    "by a function": ["select write_audit('new')"],
  })) {
    it(`stores nothing if it is writable and the state is elsewhere: ${name}`, async () => {
      await replicated(async ({ dataSource }) => {
        const failure: unknown = await onReplica(dataSource, ...texts).catch((error: unknown) => error)
        expect((failure as Error).message).to.include("cannot be read")
        expect(await stored()).to.equal(0)
      })
    })

    it(`is fenced like the primary if it is the primary: ${name}`, async () => {
      const url = { url: other.current.url }
      const options = { url: undefined, replication: { master: url, slaves: [url] } } as object
      await withMaintenance(other.current.url, options, async ({ dataSource, maintenance }) => {
        await onReplica(dataSource, ...texts)
        expect(await stored()).to.equal(1)
        await maintenance.enter("concurrent", { as: "alice" })
        const veto: unknown = await onReplica(dataSource, ...texts).catch((error: unknown) => error)
        expect(veto).to.be.instanceOf(WriteVetoedError)
        await maintenance.runAs("alice", () => onReplica(dataSource, ...texts))
        expect(await stored()).to.equal(2)
        await maintenance.leave({ as: "alice" })
        await other.current.sql("drop schema maintenance cascade")
      })
    })
  }
})

describe("A streaming replica", function () {
  this.timeout(180_000)
  let primary: EmbeddedServer
  let standby: Standby
  before(async () => {
    primary = await startEmbeddedServer()
    await openShop(outsiderOf(primary.url))
    standby = await primary.startStandby()
  })
  after(async () => {
    await standby?.stop()
    await primary?.stop()
  })

  const replication = () => ({
    url: undefined,
    replication: { master: { url: primary.url }, slaves: [{ url: standby.url }] },
  })
  /** Runs with the plugin in a mode that this process already knows. */
  const inMode = (mode: Mode, work: (installed: Installed) => Promise<unknown>) =>
    withMaintenance(primary.url, replication() as object, async (installed) => {
      const { maintenance } = installed
      if (mode !== "normal") await maintenance.enter(mode, { as: "alice" })
      await standby.caughtUp()
      await work(installed)
      if (mode !== "normal") await maintenance.leave({ as: "alice" })
    })
  const names = async (dataSource: DataSource) =>
    (await dataSource.getRepository(Item).find({ order: { id: "ASC" } })).map(({ name }) => name)

  for (const mode of ["normal", "concurrent"] as const) {
    it(`is readable in ${mode} mode, alone and in a transaction of each isolation level`, async () => {
      await inMode(mode, async ({ dataSource }) => {
        const isReplica = "select pg_is_in_recovery() as yes"
        expect(await onReplica(dataSource, isReplica)).to.deep.equal([{ yes: true }])
        expect(await names(dataSource)).to.deep.equal(["anvil"])
        for (const level of ["read committed", "repeatable read"]) {
          const begin = `begin isolation level ${level}`
          expect(await onReplica(dataSource, begin, isReplica, "commit")).to.deep.equal([])
        }
      })
    })
  }

  it("is refused in exclusive mode, except to the maintainer", async () => {
    await inMode("exclusive", async ({ dataSource, maintenance }) => {
      expect(await names(dataSource).catch((error: unknown) => error)).to.be.instanceOf(AccessRefusedError)
      expect(await maintenance.runAs("alice", () => names(dataSource))).to.deep.equal(["anvil"])
    })
  })

  for (const [name, texts] of Object.entries({
    "an insert": [insert],
    "a transaction": ["begin", insert, "commit"],
    "a function that writes": ["select write_audit('new')"],
    "a sequence": ["select nextval('ticket')"],
  })) {
    it(`answers ${name} as without the plugin`, async () => {
      const errorOf = async (dataSource: DataSource) => {
        const error: unknown = await onReplica(dataSource, ...texts).catch((thrown: unknown) => thrown)
        const { name: kind, message, code } = error as Error & { code: string }
        return { kind, message, code }
      }
      const plain = await withPlainDataSource(primary.url, replication() as object, errorOf)
      expect(plain.code).to.equal("25006")
      for (const mode of ["normal", "concurrent"] as const) {
        await inMode(mode, async ({ dataSource }) => expect(await errorOf(dataSource)).to.deep.equal(plain))
      }
    })
  }

  it("keeps the window and enforces it when it is promoted", async () => {
    const before = await withMaintenance(primary.url, {}, async ({ maintenance }) =>
      maintenance.enter("concurrent", { as: "alice", reason: "rebuild" }),
    )
    await standby.caughtUp()
    await primary.stop()
    await withClient(standby.url, (client) => client.query("select pg_promote()"))
    await withMaintenance(standby.url, {}, async ({ dataSource, maintenance }) => {
      expect(windowOf(await maintenance.status())).to.deep.equal(windowOf(before))
      const write = () => dataSource.query(insert)
      expect(await write().catch((error: unknown) => error)).to.be.instanceOf(WriteVetoedError)
      await maintenance.runAs("alice", write)
      await maintenance.leave({ as: "alice" })
      await write()
    })
  })
})
