import { expect } from "chai"
import { OutcomeUnknownError, StateUnavailableError } from "../../src"
import { withMaintenance } from "../support/data-source"
import { withClient } from "../support/database"
import { type EmbeddedServer, startEmbeddedServer } from "../support/embedded-server"
import { errorOf } from "../support/error-of"
import { warning } from "../support/warning"
import { statusThat, until } from "../support/until"

describe("A change of the mode, while a synchronous standby does not answer,", () => {
  let server: EmbeddedServer
  before(async () => {
    server = await startEmbeddedServer()
  })
  after(() => server.stop())

  const sql = <Row extends object>(text: string) =>
    withClient(server.url, async (client) => (await client.query(text)).rows as Row[])
  /** Sets the standbys that commits wait for. Resolves when new sessions see the setting. */
  const setAwaited = async (names: string) => {
    await sql(`alter system set synchronous_standby_names = '${names}'`)
    await sql("select pg_reload_conf()")
    await until(async () => {
      const [row] = await sql<{ synchronous_standby_names: string }>("show synchronous_standby_names")
      return row?.synchronous_standby_names === names
    })
  }
  /** The backends that wait for the standby. */
  const waiting = async () =>
    (await sql<{ pid: number }>("select pid from pg_stat_activity where wait_event = 'SyncRep'")).map(
      ({ pid }) => pid,
    )
  const why = (pid: number | undefined) =>
    `a change of the mode is committed on this server, but waits for a synchronous standby that does not answer \\(.*backend ${pid}.*; ` +
    "synchronous_standby_names is 'nobody'\\)\\. It cannot be undone, and takes effect as soon as a standby answers\\. " +
    "Start the standby, or remove it from synchronous_standby_names \\(ALTER SYSTEM SET \\.\\.\\., SELECT pg_reload_conf\\(\\)\\)\\."

  it("is reported as committed but waiting, in a warning, in its error, and in the error of further changes", async () => {
    await withMaintenance(server.url, {}, async ({ maintenance }) => {
      await withMaintenance(server.url, {}, async (other) => {
        await setAwaited("nobody")
        try {
          const warned = warning(/^A change of the mode is committed/)
          const entered = errorOf(maintenance.enter("exclusive", { as: "alice" }))
          const text = await warned
          const [pid] = await waiting()
          expect(text).to.match(new RegExp(`^A${why(pid).slice(1)}$`))

          const left = await errorOf(other.maintenance.leave({ as: "alice" }))
          expect(left).to.be.instanceOf(StateUnavailableError)
          expect((left as Error).message).to.match(new RegExp(`^Mode not changed: ${why(pid)}$`))

          const error = await entered
          expect(error).to.be.instanceOf(OutcomeUnknownError)
          expect((error as Error).message).to.match(
            new RegExp(
              `^The mode is not changed yet: ${why(pid)} This call no longer waits\\. When a standby has answered, look at status\\(\\), and repeat the call if the change was not made\\.`,
            ),
          )
          expect(await sql("select mode from maintenance.state")).to.deep.equal([{ mode: "normal" }])
        } finally {
          await setAwaited("")
        }
      })
      // As the guide says: the mode is in force, and nobody waits for in-flight transactions.
      const report = await statusThat(maintenance, ({ isInterrupted }) => isInterrupted)
      expect(report).to.include({ mode: "exclusive", state: "exclusive", maintainer: "alice" })
      await maintenance.leave({ as: "alice" })
    })
  })

  it("by the end of during() is waited for, with a warning", async () => {
    await withMaintenance(server.url, {}, async ({ maintenance }) => {
      const warned = warning(/^A change of the mode is committed/)
      const done = maintenance.during("concurrent", { as: "alice" }, () => setAwaited("nobody"))
      await warned
      await setAwaited("")
      await done
      expect(await maintenance.status()).to.include({ mode: "normal" })
    })
  })
})
