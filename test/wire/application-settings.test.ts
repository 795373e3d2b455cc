import { expect } from "chai"
import { setTimeout as pause } from "node:timers/promises"
import { types } from "pg"
import { AccessRefusedError, MaintenanceMigration, WriteVetoedError } from "../../src"
import { lockKeys } from "../../src/state/schema"
import { timeText } from "../../src/text"
import { type Installed, withMaintenance } from "../support/data-source"
import { TestDatabase, useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { notWaiting } from "../support/window"

type Parser = (value: string) => unknown
const asItIs: Parser = (value) => value

/** Parsers that an application sets for the types that the plugin's own statements return, by OID. */
const parsers: Record<string, [oid: number, parser: Parser]> = {
  "timestamptz as text": [1184, asItIs],
  "boolean as a number": [16, (value) => (value === "t" ? 1 : 0)],
  "integer as a bigint": [23, BigInt],
  "bigint as a number": [20, Number],
  "double precision as text": [701, asItIs],
  "numeric as a number": [1700, Number],
  "json as text": [114, asItIs],
}

const settings: Record<string, object> = {
  types: { types: { getTypeParser: () => asItIs } },
  binary: { binary: true },
  pipeline: { pipeline: true },
  "a DateStyle other than ISO, and an ambiguous time zone name": {
    options: "-c datestyle=german -c timezone=Asia/Kolkata",
  },
  "session settings in options": {
    options:
      "-c search_path=public,pg_catalog -c default_transaction_isolation=serializable -c extra_float_digits=-15 " +
      "-c standard_conforming_strings=off -c intervalstyle=sql_standard",
  },
}

describe("Settings of pg made by the application", () => {
  const database = useDatabase()
  before(() => openShop(database.current))

  const held = () =>
    database.current.sql(
      "select from pg_locks where locktype = 'advisory' and classid = $1 and objsubid = 2",
      [lockKeys("maintenance").hold],
    )

  /**
   * Everything that must not depend on the settings: each kind of statement that reads or changes the state.
   */
  const work = async ({ dataSource, maintenance }: Installed) => {
    const warnings: Error[] = []
    const listen = (warning: Error) => void warnings.push(warning)
    process.on("warning", listen)
    const entered = await maintenance.enter("concurrent", { as: "alice", reason: "x", expiresInMs: 600_000 })
    expect(entered.since).to.be.instanceOf(Date)
    expect(entered.expiresAt?.getTime()).to.be.greaterThan(entered.since?.getTime() ?? Infinity)
    expect(entered.unacknowledged).to.deep.equal([])
    const veto = (await errorOf(
      dataSource.query("insert into audit (note) values ('x')"),
    )) as WriteVetoedError
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect(veto.since).to.deep.equal(entered.since)
    expect(veto.message).to.include(`since ${timeText(entered.since as Date)} (expires at `)
    expect(await errorOf(dataSource.query("call write_and_commit('x')"))).to.be.instanceOf(WriteVetoedError)
    await maintenance.runAs("alice", () => dataSource.query("call write_and_commit('own')"))
    await dataSource.query("select 1")
    expect(await held()).to.have.length(0)

    await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
    const refusal = (await errorOf(dataSource.query("select 1"))) as AccessRefusedError
    expect(refusal).to.be.instanceOf(AccessRefusedError)
    expect(refusal.since).to.deep.equal(entered.since)
    const waited = () => dataSource.query("select 1")
    expect(await errorOf(maintenance.whenRefused("wait", waited))).to.be.instanceOf(AccessRefusedError)

    const { instances, expiresAt } = await maintenance.status()
    expect(expiresAt).to.be.instanceOf(Date)
    expect(instances).to.have.length(1)
    const [instance] = instances
    expect(instance?.since).to.be.instanceOf(Date)
    expect(instance?.since.getTime()).to.be.lessThan(entered.since?.getTime() ?? 0)
    expect(instance?.refusals).to.be.a("number")
    expect(await maintenance.leave({ as: "alice" })).to.not.have.property("since")
    process.removeListener("warning", listen)
    expect(warnings.map(String)).to.deep.equal([])
  }

  /** Runs with a parser set in pg. */
  const withParser = async ([oid, parser]: [number, Parser], run: () => Promise<unknown>) => {
    const former = types.getTypeParser(oid) as Parser
    types.setTypeParser(oid, parser)
    try {
      await run()
    } finally {
      types.setTypeParser(oid, former)
    }
  }

  const plugin = { maxWaitMs: 5 }
  for (const [name, parser] of Object.entries(parsers)) {
    it(`do not affect the state: ${name}`, () =>
      withParser(parser, () => withMaintenance(database.current.url, { plugin }, work)))
  }

  for (const [name, extra] of Object.entries(settings)) {
    it(`do not affect the state: ${name}`, () =>
      withMaintenance(database.current.url, { plugin, extra }, work))
  }

  it("do not end an idle watch", () =>
    withMaintenance(
      database.current.url,
      { extra: { options: "-c idle_session_timeout=1000" } },
      async ({ maintenance }) => {
        const { instances } = await maintenance.status()
        await pause(1500)
        expect((await maintenance.status()).instances).to.deep.equal(instances)
      },
    ))

  for (const name of ["boolean as a number", "integer as a bigint", "json as text"] as const) {
    it(`let the migration recognize an installed schema: ${name}`, async () => {
      const own = await TestDatabase.create()
      const options = { plugin: { migrate: false }, migrations: [MaintenanceMigration] }
      const migrate = () =>
        withMaintenance(own.url, options, async ({ dataSource, maintenance }) => {
          await dataSource.runMigrations()
          await own.sql("delete from migrations")
          await dataSource.runMigrations()
          expect(await maintenance.status()).to.include({ mode: "normal" })
        })
      await withParser(parsers[name] as [number, Parser], migrate)
      await own.drop()
    })
  }
})
