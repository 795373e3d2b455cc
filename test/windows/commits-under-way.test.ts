import { expect } from "chai"
import { type Blocker, DrainTimeoutError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { firstDraining } from "../support/draining"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { endWindowAfterEach } from "../support/window"

describe("A commit of others that has passed its fence and does not finish", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  /** Runs while another user is between the fence and the commit. `commit` commits. */
  const underWay = (
    user: string,
    work: (pid: number, commit: () => Promise<unknown>) => Promise<void>,
  ): Promise<void> =>
    withClient(database.current.url, async (client) => {
      client.on("error", () => undefined)
      await client.query("begin; insert into audit (note) values ('held up')")
      await client.query("select maintenance.fence($1, false)", [user])
      const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid")
      await work((rows[0] as { pid: number }).pid, () => client.query("commit"))
    })
  const pidsOf = (blockers: readonly Blocker[]) => blockers.map(({ pid }) => pid)
  /** Another transaction, which can still be refused at its commit. */
  const withReader = (work: () => Promise<void>) =>
    withClient(database.current.url, async (client) => {
      await client.query("begin; select 1")
      await work()
    })

  it("is reported after the time limit, in concurrent mode too, and the mode is restored", async () => {
    const { maintenance } = installed.current
    await withReader(() =>
      underWay("bob", async (pid) => {
        const drain = { withinMs: 20 }
        const error = await errorOf(
          maintenance.enter("concurrent", { as: "alice", reason: "rebuild", drain }),
        )
        expect(error).to.be.instanceOf(DrainTimeoutError)
        expect(error).to.include({ mode: "concurrent", maintainer: "alice", reason: "rebuild" })
        expect(pidsOf((error as DrainTimeoutError).blockers)).to.deep.equal([pid])
        const [first, line, advice] = (error as Error).message.split("\n")
        expect(first).to.equal(
          "Mode not changed: alice was entering concurrent mode (rebuild), but 1 transaction of other users whose commit was under way " +
            "was still open after 1 s. The previous mode is in force again.",
        )
        expect(line).to.include(`- backend ${pid} (`).and.to.include("idle in transaction")
        expect(advice).to.equal(
          'It can no longer be refused. End it by hand or with drain.then: "terminate", wait longer (drain.withinMs), or wait ' +
            'without a limit (drain.then: "proceed").',
        )
        expect(await maintenance.status()).to.include({ mode: "normal", state: "normal" })
      }),
    )
  })

  it("is waited for up to 30 seconds by default, and reported", async () => {
    const { maintenance } = installed.current
    await withReader(() =>
      underWay("bob", async (pid, commit) => {
        const told = firstDraining(maintenance, 1)
        const before = Date.now()
        const entered = maintenance.enter("concurrent", { as: "alice" })
        const { blockers, deadline } = await told
        expect(pidsOf(blockers)).to.deep.equal([pid])
        expect(deadline.getTime() - before).to.be.within(30_000, 40_000)
        expect(await maintenance.status()).to.include({ mode: "concurrent", state: "entering" })
        await commit()
        await entered
      }),
    )
  })

  it('is waited for as long as necessary with drain.then "proceed"', async () => {
    const { maintenance } = installed.current
    await underWay("bob", async (_, commit) => {
      const drain = { withinMs: 0, then: "proceed" } as const
      let lasted = 0
      const stop = maintenance.on("draining", ({ waitedMs }) => {
        lasted = waitedMs
        // Longer than the given limit.
        if (waitedMs > 1500) void commit()
      })
      await maintenance.enter("concurrent", { as: "alice", drain })
      stop()
      expect(lasted).to.be.greaterThan(1500)
    })
  })

  it("is reported before the window would expire", async () => {
    const { maintenance } = installed.current
    await underWay("bob", async (pid) => {
      const error = await errorOf(maintenance.enter("concurrent", { as: "alice", expiresInMs: 4000 }))
      expect(error).to.be.instanceOf(DrainTimeoutError)
      expect(pidsOf((error as DrainTimeoutError).blockers)).to.deep.equal([pid])
    })
  })

  it("is reported by transfer(), after the window was handed over", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
    await underWay("alice", async (pid, commit) => {
      const error = await errorOf(maintenance.transfer({ as: "alice", to: "carol", withinMs: 20 }))
      expect(error).to.be.instanceOf(DrainTimeoutError)
      expect(pidsOf((error as DrainTimeoutError).blockers)).to.deep.equal([pid])
      const lines = (error as Error).message.split("\n")
      expect(lines[0]).to.equal(
        "Concurrent mode (rebuild) was handed over to carol, but 1 transaction of other users whose commit was under way " +
          "was still open after 20 ms.",
      )
      expect(lines.at(-1)).to.equal("End it, or enter concurrent mode again as carol to wait for it.")
      expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "carol" })
      const told = firstDraining(maintenance, 1)
      const again = maintenance.enter("concurrent", { as: "carol" })
      expect(pidsOf((await told).blockers)).to.deep.equal([pid])
      await commit()
      await again
    })
  })
})
