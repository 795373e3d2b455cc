import { expect } from "chai"
import type { QueryRunner } from "typeorm"
import { type DrainOptions, DrainTimeoutError, type EnterOptions } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { firstDraining } from "../support/draining"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { warning } from "../support/warning"
import { endWindowAfterEach } from "../support/window"

describe("A transaction of others begun in a concurrent during() within exclusive mode", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  /**
   * Runs with a transaction that another user has begun in a concurrent during(), within an exclusive window
   * of alice.
   */
  const withBegun = async (
    { drain, during = { as: "alice" } }: { drain?: DrainOptions; during?: EnterOptions },
    work: (done: Promise<unknown>, runner: QueryRunner) => Promise<void>,
  ): Promise<void> => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice", reason: "move", drain })
    const runner = dataSource.createQueryRunner()
    let begun: () => void = () => undefined
    const isBegun = new Promise<void>((resolve) => (begun = resolve))
    const done = maintenance.during("concurrent", during, async () => {
      await maintenance.runAs("bob", async () => {
        await runner.query("begin")
        await runner.query("select 1")
      })
      begun()
      return "result"
    })
    done.catch(() => undefined)
    try {
      await isBegun
      await work(done, runner)
    } finally {
      await runner.query("rollback").catch(() => undefined)
      await runner.release()
    }
  }

  for (const as of ["alice", "break-glass"]) {
    it(`is waited for and reported when exclusive mode is restored: ${as}'s task`, async () => {
      const { maintenance } = installed.current
      const told = firstDraining(maintenance, 1)
      await withBegun({ during: { as } }, async (done, runner) => {
        const { blockers, deadline } = await told
        expect(blockers[0]).to.include({ state: "idle in transaction" })
        expect(deadline.getTime()).to.be.greaterThan(Date.now())
        expect(await maintenance.status()).to.include({
          mode: "exclusive",
          maintainer: "alice",
          reason: "move",
        })
        await runner.query("rollback")
        expect(await done).to.equal("result")
      })
    })
  }

  it("is waited for up to the time limit of exclusive mode; then during() rejects, and the mode holds", async () => {
    const { maintenance } = installed.current
    await withBegun({ drain: { withinMs: 20 } }, async (done) => {
      const error = await errorOf(done)
      expect(error).to.be.instanceOf(DrainTimeoutError)
      expect(error).to.include({ mode: "exclusive", maintainer: "alice", reason: "move" })
      const lines = (error as Error).message.split("\n")
      expect(lines[0]).to.equal(
        "The task is done, and exclusive mode of alice (move) is in force again, but 1 transaction of other users " +
          "was still open after 20 ms. The changes that the task committed are stored.",
      )
      expect(lines.at(-1)).to.equal(
        'End it, or enter exclusive mode again as alice: with drain.then: "terminate", or with "proceed" to let it be refused.',
      )
      expect(await maintenance.status()).to.include({ mode: "exclusive", state: "exclusive" })
    })
  })

  it("is terminated or left to be refused, according to the drain options of exclusive mode", async () => {
    for (const [then, open] of [
      ["terminate", 0],
      ["proceed", 1],
    ] as const) {
      await withBegun({ drain: { withinMs: 0, then } }, async (done, runner) => {
        expect(await done).to.equal("result")
        const look =
          "select from pg_stat_activity where datname = current_database() and state like 'idle in %'"
        expect(await database.current.sql(look)).to.have.length(open)
        const error = await errorOf(
          installed.current.maintenance.runAs("bob", () => runner.query("select 1")),
        )
        expect(error).to.be.instanceOf(Error)
        if (then === "proceed") expect(error).to.have.property("code", "MAINTENANCE_ACCESS_REFUSED")
      })
      await installed.current.maintenance.leave({ as: "alice" })
    }
  })

  it("is waited for even if the work throws, and during() rejects with that error", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 20 } })
    const runner = dataSource.createQueryRunner()
    const failure = new Error("failure")
    const warned = warning(/^The task is done, and exclusive mode of alice is in force again/)
    const error = await errorOf(
      maintenance.during("concurrent", { as: "alice" }, async () => {
        await maintenance.runAs("bob", async () => {
          await runner.query("begin")
          await runner.query("select 1")
        })
        throw failure
      }),
    )
    expect(error).to.equal(failure)
    await warned
    await runner.query("rollback").catch(() => undefined)
    await runner.release()
  })

  it("is no longer waited for once the window is ended", async () => {
    const { maintenance } = installed.current
    const told = firstDraining(maintenance, 1)
    await withBegun({}, async (done) => {
      await told
      await maintenance.leave({ as: "break-glass" })
      expect(await done).to.equal("result")
    })
  })
})
