import { expect } from "chai"
import type { DataSource } from "typeorm"
import { AccessRefusedError, DrainTimeoutError, MaintenanceSetupError, WriteVetoedError } from "../../../src"
import { describeUnless } from "../../support/columns"
import { withMaintenance } from "../../support/data-source"
import { useDatabase } from "../../support/database"
import { Item, Tag } from "../../support/entities"
import { errorOf } from "../../support/error-of"
import { PgBouncer, pgbouncerMissing } from "../../support/pgbouncer"
import { openShop, restock } from "../../support/shop"

const plugin = { preparedStatements: false }

describeUnless(pgbouncerMissing(), "A pgbouncer in front of the server", () => {
  const database = useDatabase()
  before(() => openShop(database.current))
  beforeEach(() => restock(database.current))

  const behind = async (
    mode: "transaction" | "session",
    work: (url: string) => Promise<unknown>,
    poolSize?: number,
  ) => {
    const pooler = await PgBouncer.start(database.current.url, mode, poolSize)
    try {
      await work(pooler.url)
    } finally {
      await pooler.stop()
    }
  }
  const advisoryLocks = () =>
    database.current.sql(
      "select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
    )

  it("in transaction mode makes the installation fail, and the error names the option to set", async () => {
    await behind("transaction", async (url) => {
      const error = await errorOf(withMaintenance(url, {}, () => Promise.resolve()))
      expect(error).to.be.instanceOf(MaintenanceSetupError)
      expect((error as Error).message).to.include("Set preparedStatements: false in installMaintenance()")
    })
  })

  it("in transaction mode with the option is enforced for the pools of two processes at once", async () => {
    await behind("transaction", async (url) => {
      await withMaintenance(url, { plugin }, ({ dataSource, maintenance }) =>
        withMaintenance(url, { plugin }, async (other) => {
          const write = (on: DataSource, name: string) => on.getRepository(Item).insert({ name })
          const all = (name: string) =>
            Promise.allSettled(
              Array.from({ length: 40 }, (_, index) =>
                index % 2 === 0
                  ? write(index % 4 === 0 ? dataSource : other.dataSource, `${name} ${index}`)
                  : other.dataSource.transaction("REPEATABLE READ", async (manager) => {
                      await manager.find(Tag)
                      await manager.insert(Item, { name: `${name} ${index}` })
                    }),
              ),
            )
          const named = async (name: string) =>
            (await database.current.sql("select from item where name like $1", [`${name} %`])).length
          await all("normal")
          expect(await named("normal")).to.equal(40)
          await maintenance.enter("concurrent", { as: "alice" })
          const outcomes = await all("vetoed")
          expect(outcomes.filter(({ status }) => status === "fulfilled")).to.deep.equal([])
          expect(await named("vetoed")).to.equal(0)
          expect(await other.dataSource.getRepository(Tag).find()).to.have.length(2)
          expect(await errorOf(write(other.dataSource, "x"))).to.be.instanceOf(WriteVetoedError)
          await maintenance.runAs("alice", () => write(other.dataSource, "own"))
          await maintenance.enter("exclusive", { as: "alice" })
          expect(await errorOf(other.dataSource.query("select 1"))).to.be.instanceOf(AccessRefusedError)
          await maintenance.leave({ as: "alice" })
          await write(dataSource, "after")
        }),
      )
    })
  })

  it("in transaction mode refuses statements that need a session, and leaves no lock behind", async () => {
    await behind("transaction", (url) =>
      withMaintenance(url, { plugin }, async ({ dataSource }) => {
        for (const text of ["vacuum", "call write_and_commit('x')", "select 1; select 2"]) {
          const error = await errorOf(dataSource.query(text))
          expect(error, text).to.be.instanceOf(MaintenanceSetupError)
          expect((error as Error).message).to.include("use a DataSource that connects past the pooler")
        }
        await dataSource.query("do $$ begin perform write_audit('done'); end $$")
        await dataSource.transaction((manager) => manager.query("call write_only('done')"))
        expect(await database.current.sql("select from audit where note = 'done'")).to.have.length(2)
        expect(await advisoryLocks()).to.have.length(0)
      }),
    )
  })

  it("in transaction mode waits for no notification that cannot arrive", async () => {
    const fired: number[] = []
    const { setTimeout: setTimer } = globalThis
    globalThis.setTimeout = ((listener: () => void, ms = 0, ...args: []) =>
      setTimer(
        () => {
          fired.push(ms)
          listener()
        },
        ms,
        ...args,
      )) as typeof setTimeout
    try {
      // With a single connection, it is the one that listens which notifies: nothing can arrive. With more, pgbouncer
      // may take another, whose notification may arrive, and is waited for.
      await behind("transaction", (url) => withMaintenance(url, { plugin }, () => Promise.resolve()), 1)
    } finally {
      globalThis.setTimeout = setTimer
    }
    // Longer timers are time limits of waiting calls.
    expect(fired.filter((ms) => ms >= 2000)).to.deep.equal([])
  })

  it("in session mode behaves as without a pooler", async () => {
    await behind("session", (url) =>
      withMaintenance(url, {}, async ({ dataSource, maintenance }) => {
        const { instances } = await maintenance.status()
        expect(instances).to.have.length(1)
        const { unacknowledged } = await maintenance.enter("concurrent", { as: "alice" })
        expect(unacknowledged).to.deep.equal([])
        expect(await errorOf(dataSource.getRepository(Item).insert({ name: "x" }))).to.be.instanceOf(
          WriteVetoedError,
        )
        await maintenance.runAs("alice", () => dataSource.query("vacuum"))
        await maintenance.leave({ as: "alice" })
      }),
    )
  })

  it("in transaction mode cannot identify the maintainer's transactions, and waits for them as for those of others", async () => {
    await behind("transaction", async (url) => {
      await withMaintenance(url, { plugin }, async ({ dataSource, maintenance }) => {
        await maintenance.runAs("alice", () =>
          dataSource.transaction(async (manager) => {
            await manager.query("select 1")
            const error = await errorOf(maintenance.enter("exclusive", { drain: { withinMs: 20 } }))
            expect(error).to.be.instanceOf(DrainTimeoutError)
            expect((error as DrainTimeoutError).blockers).to.have.length(1)
            expect((error as DrainTimeoutError).blockers[0]).to.have.property("instance", undefined)
          }),
        )
        expect(await maintenance.status()).to.include({ mode: "normal" })
      })
    })
  })
})
