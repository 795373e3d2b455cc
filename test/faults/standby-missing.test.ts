import { expect } from "chai"
import { Client } from "pg"
import { OutcomeUnknownError, type Instance, type Maintenance, WriteVetoedError } from "../../src"
import { type Installed, withMaintenance, withPlainDataSource } from "../support/data-source"
import { type EmbeddedServer, startEmbeddedServer } from "../support/embedded-server"
import { errorOf } from "../support/error-of"
import { withShortenedTimers } from "../support/long-timers"
import { warning } from "../support/warning"
import { until } from "../support/until"

/** The number of commits that wait for a standby. */
const waitForStandby = "select count(*)::integer as count from pg_stat_activity where wait_event = 'SyncRep'"

describe("While a synchronous standby is missing,", () => {
  let server: EmbeddedServer
  let observer: Client
  before(async () => {
    server = await startEmbeddedServer()
    observer = new Client(server.url)
    await observer.connect()
  })
  after(async () => {
    await observer.end()
    await server.stop()
  })
  afterEach(() => standbyIs("there"))

  /** Makes the server wait for a standby that does not exist, or stop waiting. */
  const standbyIs = async (state: "there" | "missing") => {
    await observer.query(
      `alter system set synchronous_standby_names = '${state === "there" ? "" : "nobody"}'`,
    )
    await observer.query("select pg_reload_conf()")
    // Each session reads the setting in its own time. Waiting commits are then released.
    const expected = state === "there" ? "" : "nobody"
    await until(
      async () =>
        (await observer.query("show synchronous_standby_names")).rows[0].synchronous_standby_names ===
        expected,
    )
  }
  const waiting = async () => (await observer.query<{ count: number }>(waitForStandby)).rows[0]?.count
  const withWindow = (work: (installed: Installed) => Promise<void>) =>
    withMaintenance(server.url, {}, async (installed) => {
      await installed.maintenance.enter("concurrent", { as: "alice", heldWhile: "alive", graceMs: 1500 })
      await work(installed)
    })
  /** Resolves when an instance is registered again, under another id. */
  const isBack = async (maintenance: Maintenance, before: Instance | undefined) => {
    await until(async () => {
      const [now] = (await maintenance.status()).instances
      return now && now.id !== before?.id
    })
  }
  const endsAt = async () =>
    (
      await observer.query<{ at: Date }>("select expires_at as at from maintenance.state")
    ).rows[0]?.at.getTime() ?? 0

  it("an application starts and is registered as an instance, if the schema exists", async () => {
    await withMaintenance(server.url, {}, () => Promise.resolve())
    await standbyIs("missing")
    // The first sequence value after a checkpoint is written to the log.
    await observer.query("checkpoint")
    await withMaintenance(server.url, {}, async ({ dataSource, maintenance }) => {
      await dataSource.query("select 1")
      expect((await maintenance.status()).instances).to.have.length(1)
      expect(await waiting()).to.equal(0)
    })
  })

  it("a watch reconnects", async () => {
    await withMaintenance(server.url, {}, async ({ maintenance }) => {
      const [before] = (await maintenance.status()).instances
      await standbyIs("missing")
      await observer.query("checkpoint")
      const ended = await observer.query(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'typeorm-maintenance-mode'",
      )
      expect(ended.rowCount).to.equal(1)
      await isBack(maintenance, before)
      expect(await waiting()).to.equal(0)
    })
  })

  it("a window that is tied to a process is renewed, visibly", () =>
    withWindow(async ({ maintenance }) => {
      await standbyIs("missing")
      const before = await endsAt()
      await until(async () => (await endsAt()) > before)
      expect(await maintenance.status()).to.include({ mode: "concurrent" })
      expect(await waiting()).to.equal(0)
      await standbyIs("there")
      await maintenance.leave({ as: "alice" })
    }))

  it("an expired window is ended", async () => {
    await withMaintenance(server.url, {}, async ({ dataSource, maintenance }) => {
      await dataSource.query("create table if not exists mark (id int)")
      await maintenance.enter("concurrent", { as: "alice", expiresInMs: 1000 })
      expect(await errorOf(dataSource.query("insert into mark values (1)"))).to.be.instanceOf(
        WriteVetoedError,
      )
      await standbyIs("missing")
      const mode = async () => (await observer.query("select mode from maintenance.state")).rows[0].mode
      await until(async () => (await mode()) === "normal")
      expect(await maintenance.status()).to.include({ mode: "normal" })
    })
  })

  it("a watch reconnects although an abandoned change of mode still waits for the standby", async () => {
    await withMaintenance(server.url, {}, async ({ maintenance }) => {
      const [before] = (await maintenance.status()).instances
      await standbyIs("missing")
      const givenUp = await withShortenedTimers(() =>
        errorOf(maintenance.enter("concurrent", { as: "alice" })),
      )
      expect(givenUp).to.be.instanceOf(OutcomeUnknownError)
      // It locks the state until the standby is back.
      expect(await waiting()).to.equal(1)
      await isBack(maintenance, before)
      await standbyIs("there")
      await until(async () => (await waiting()) === 0)
      expect(await maintenance.status()).to.include({ mode: "concurrent" })
      await maintenance.leave({ as: "alice" })
    })
  })

  it("the installation of a missing schema logs that it waits for the standby", async () => {
    await observer.query("drop schema maintenance cascade")
    await standbyIs("missing")
    const said = warning(/^The installation of the schema "maintenance" has taken /)
    const installed = withMaintenance(server.url, {}, ({ maintenance }) => maintenance.status())
    expect(await said).to.include("waits for a synchronous standby")
    await standbyIs("there")
    expect(await installed).to.include({ mode: "normal" })
  })

  it("plain TypeORM is unaffected", async () => {
    await standbyIs("missing")
    await withPlainDataSource(server.url, {}, (dataSource) => dataSource.query("select 1"))
  })
})
