import { expect } from "chai"
import type { DataSource } from "typeorm"
import { AccessRefusedError, WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { endWindowAfterEach } from "../support/window"

interface Client {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
  release(error?: boolean): void
}

interface Pool {
  on(event: "connect" | "acquire", listener: (client: Client) => unknown): void
  off(event: "connect" | "acquire", listener: (client: Client) => unknown): void
  connect(): Promise<Client>
  query(text: string): Promise<{ rows: Record<string, unknown>[] }>
}

const poolOf = (dataSource: DataSource) => (dataSource.driver as unknown as { master: Pool }).master
const path = "select current_setting('search_path') as path, current_setting('my.tenant', true) as tenant"
const isSet = { path: "pg_catalog, public", tenant: "t1" }
const insertion = "insert into audit (note) values ('by a listener')"

/** Listeners that configure a connection. */
const settings: Record<string, (client: Client) => unknown> = {
  "without waiting": (client) => {
    void client.query("set search_path to pg_catalog, public")
    void client.query("select set_config('my.tenant', 't1', false)")
  },
  "one after the other": async (client) => {
    await client.query("set search_path to pg_catalog, public")
    const { rows } = await client.query("select 't' || $1 as tenant", ["1"])
    await client.query("select set_config('my.tenant', $1, false)", [rows[0]?.tenant])
  },
  "in one text": (client) => {
    void client.query("set search_path to pg_catalog, public; set my.tenant to 't1'")
  },
}

describe("A listener of a pool", () => {
  const database = useDatabase()
  // With a single connection, so that the next borrower gets the same one.
  const installed = useMaintenance(database, { poolSize: 1 })
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  /** Runs the work with a listener, starting without a connection. Resolves with the unhandled rejections. */
  async function unhandledWith(
    event: "connect" | "acquire",
    listener: (client: Client) => unknown,
    work: (pool: Pool) => Promise<unknown>,
  ): Promise<unknown[]> {
    const pool = poolOf(installed.current.dataSource)
    ;(await installed.current.maintenance.runAs("alice", () => pool.connect())).release(true)
    const handlers = process.listeners("unhandledRejection")
    const unhandled: unknown[] = []
    process.removeAllListeners("unhandledRejection")
    process.on("unhandledRejection", (error) => unhandled.push(error))
    pool.on(event, listener)
    try {
      await work(pool)
      await new Promise(setImmediate)
      return unhandled
    } finally {
      pool.off(event, listener)
      process.removeAllListeners("unhandledRejection")
      for (const handler of handlers) process.on("unhandledRejection", handler)
    }
  }

  for (const event of ["connect", "acquire"] as const) {
    for (const mode of ["concurrent", "exclusive"] as const) {
      for (const [how, listener] of Object.entries(settings)) {
        it(`configures a connection on "${event}" in ${mode} mode, whichever user it is for: ${how}`, async () => {
          const { maintenance } = installed.current
          await maintenance.enter(mode, { as: "alice" })
          const setUp: unknown[] = []
          const settingUp = (client: Client) => void setUp.push(listener(client))
          const unhandled = await unhandledWith(event, settingUp, async (pool) => {
            const clientOfBob = await maintenance.runAs("bob", () => pool.connect())
            const refusal = await errorOf(maintenance.runAs("bob", () => clientOfBob.query(insertion)))
            expect(refusal).to.be.instanceOf(mode === "exclusive" ? AccessRefusedError : WriteVetoedError)
            await Promise.all(setUp)
            clientOfBob.release()
            await maintenance.runAs("alice", async () => {
              const client = await pool.connect()
              expect(client).to.equal(clientOfBob)
              await Promise.all(setUp)
              const { rows } = await client.query(path)
              client.release()
              expect(rows).to.deep.equal([isSet])
            })
          })
          expect(unhandled).to.deep.equal([])
        })
      }
    }

    for (const mode of ["concurrent", "exclusive"] as const) {
      it(`is refused writes on "${event}" in ${mode} mode; awaited queries reject, and the process survives`, async () => {
        const { maintenance } = installed.current
        await maintenance.enter(mode, { as: "alice" })
        const waitedFor: Promise<unknown>[] = []
        const unhandled = await unhandledWith(
          event,
          (client) => {
            void client.query(insertion)
            void client.query(`${insertion}; ${insertion}`)
            waitedFor.push(errorOf(client.query(insertion)))
          },
          (pool) => maintenance.runAs("bob", () => pool.query("select 1")).catch(() => undefined),
        )
        expect(unhandled).to.deep.equal([])
        const RefusalError = mode === "exclusive" ? AccessRefusedError : WriteVetoedError
        expect(await waitedFor[0]).to.be.instanceOf(RefusalError)
        expect(await database.current.sql("select from audit where note = 'by a listener'")).to.deep.equal([])
      })
    }

    it(`may fail on "${event}" as in plain pg`, async () => {
      const unhandled = await unhandledWith(
        event,
        (client) => void client.query("selec"),
        (pool) => pool.query("select 1"),
      )
      expect(unhandled).to.have.length(1)
      expect(unhandled[0]).to.include({ code: "42601" })
    })
  }

  it("does not let other users read, and has no effect on other connections", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice" })
    const unhandled = await unhandledWith(
      "connect",
      () => undefined,
      async (pool) => {
        const client = await maintenance.runAs("bob", () => pool.connect())
        const refusal = await errorOf(maintenance.runAs("bob", () => client.query("select 1")))
        client.release()
        expect(refusal).to.be.instanceOf(AccessRefusedError)
      },
    )
    expect(unhandled).to.deep.equal([])
  })
})
