import { expect } from "chai"
import type { QueryRunner } from "typeorm"
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

/** Leaves the transaction of a query runner open. */
type Opening = (runner: QueryRunner) => Promise<unknown>

const insertion = "insert into audit (note) values ('idle')"
/** The texts after which PostgreSQL could no longer refuse what the transaction commits next. */
const openings: Record<string, Opening> = {
  "SQL EXECUTE in a transaction": async (runner) => {
    await runner.query("begin")
    await runner.query(`prepare writing as ${insertion}`)
    await runner.query("execute writing")
    await runner.query("deallocate writing")
  },
  "a failed text of several statements with CASE ... END": async (runner) => {
    await runner.query("begin")
    await runner.query(insertion)
    const failed = await errorOf(runner.query("select case when true then 1 end; select 1 / 0"))
    expect(failed).to.have.property("code", "22012")
  },
  'a text that ends in "; begin"': (runner) => runner.query(`${insertion}; begin`),
}

describe("A transaction of others that is idle after a text that may end it", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  endWindowAfterEach(installed)

  /** Runs work while a transaction with the plugin is idle. */
  const whileIdle = async (open: Opening, work: (pid: number) => Promise<void>) => {
    const runner = installed.current.dataSource.createQueryRunner()
    try {
      const [backend] = (await runner.query("select pg_backend_pid() as pid")) as { pid: number }[]
      await open(runner)
      await work(backend?.pid as number)
    } finally {
      await runner.query("rollback")
      await runner.release()
    }
  }
  const enter = () => {
    const drain = { withinMs: 20 }
    return errorOf(installed.current.maintenance.enter("concurrent", { as: "alice", drain }))
  }

  for (const [name, open] of Object.entries(openings)) {
    it(`holds up concurrent mode until the time limit, and is named: ${name}`, () =>
      whileIdle(open, async (pid) => {
        const error = await enter()
        expect(error).to.be.instanceOf(DrainTimeoutError)
        expect((error as DrainTimeoutError).blockers.map((blocker) => blocker.pid)).to.deep.equal([pid])
        expect((error as Error).message).to.include("whose commit was under way")
      }))
  }

  const withoutSuchATextBefore: Record<string, Opening> = {
    "the statement without EXECUTE": async (runner) => {
      await runner.query("begin")
      await runner.query(insertion)
    },
    "a failed text of several statements that can end nothing": async (runner) => {
      await runner.query("begin")
      await runner.query(insertion)
      expect(await errorOf(runner.query("select 1; select 1 / 0"))).to.have.property("code", "22012")
    },
    "BEGIN by itself": async (runner) => {
      await runner.query(insertion)
      await runner.query("begin")
      await runner.query("select 1")
    },
  }
  for (const [name, open] of Object.entries(withoutSuchATextBefore)) {
    it(`does not hold up concurrent mode otherwise: ${name}`, () =>
      whileIdle(open, async () => {
        expect(await enter()).to.equal(undefined)
      }))
  }
})
