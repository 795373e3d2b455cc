import { expect } from "chai"
import type { PoolClient } from "pg"
import type { QueryRunner } from "typeorm"
import { AccessRefusedError, StateUnavailableError } from "../../src"
import { channelOf } from "../../src/state/schema"
import { timeText } from "../../src/text"
import { Barrier } from "../support/barrier"
import { type Installed, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { nothingStray, poolOf, stray } from "../support/pool"
import { Proxy } from "../support/proxy"
import { warning } from "../support/warning"
import { until } from "../support/until"
import { endWindow } from "../support/window"

/** Resolves once all earlier requests have progressed as far as possible without the server. */
const asFarAsItCan = () => new Promise(setImmediate)

/** A request for a connection. */
interface Asking {
  readonly runner: QueryRunner
  readonly connected: Promise<unknown>
  /** Whether it has received one. */
  isIn: boolean
}

/** Requests a connection, by default for no user. */
function ask({ dataSource, maintenance }: Installed, user?: string): Asking {
  const runner = dataSource.createQueryRunner()
  const connect = () => runner.connect()
  const connected = user === undefined ? connect() : maintenance.runAs(user, connect)
  const asking: Asking = { runner, connected, isIn: false }
  connected.then(
    () => (asking.isIn = true),
    () => undefined,
  )
  return asking
}

/** Opens all connections of the pool, so that every admitted caller gets one immediately. */
async function fill(installed: Installed): Promise<void> {
  const all = Array.from({ length: 4 }, () => ask(installed))
  for (const { runner, connected } of all) {
    await connected
    await runner.query("select 1")
  }
  for (const { runner } of all) await runner.release()
}

describe("Limited readers", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => installed.current.dataSource.synchronize())
  beforeEach(() => fill(installed.current))
  afterEach(async () => {
    const { dataSource, maintenance } = installed.current
    await endWindow(maintenance)
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
    expect(poolOf(dataSource).waitingCount).to.equal(0)
    await fill(installed.current)
    expect(poolOf(dataSource).totalCount).to.equal(4)
  })

  const enter = (readers: number, as = "alice") =>
    installed.current.maintenance.enter("concurrent", { as, readers })
  const strangers = (count: number) => Array.from({ length: count }, () => ask(installed.current))
  /** The requests that have a connection once all have progressed as far as possible. */
  const areIn = async (all: readonly Asking[]) => {
    await asFarAsItCan()
    // An admitted request gets its connection before a later one whose query makes a round trip.
    const { dataSource, maintenance } = installed.current
    if (poolOf(dataSource).idleCount > 0)
      await maintenance.runAs("break-glass", () => dataSource.query("select 1"))
    return all.map(({ isIn }) => isIn)
  }
  const releaseAll = async (all: readonly Asking[]) => {
    for (const { runner, connected } of all) {
      await connected.catch(() => undefined)
      await runner.release()
    }
  }

  for (const readers of [1, 2]) {
    it(`use at most ${readers} connections, in the order of their requests`, async () => {
      await enter(readers)
      const all = strangers(5)
      for (let released = 0; released < all.length; released++) {
        const expected = all.map((_, index) => index < released + readers)
        expect(await areIn(all)).to.deep.equal(expected)
        await all[released]?.runner.release()
      }
    })
  }

  it("cause a process warning when they wait", async () => {
    const warned = warning(/readers/)
    const { since } = await enter(1)
    const all = strangers(3)
    expect(await warned).to.equal(
      `2 calls wait for a connection: the concurrent maintenance by alice since ${timeText(since as Date)} limits other users ` +
        "to 1 in each instance (readers). This is reported once.",
    )
    await releaseAll(all)
  })

  it("leave the other connections to the maintainer and to emergency users", async () => {
    await enter(1)
    const all = strangers(2)
    const admitted = ["alice", "alice", "break-glass"].map((user) => ask(installed.current, user))
    expect(await areIn([...all, ...admitted])).to.deep.equal([true, false, true, true, true])
    // The pool has no other connection. An admitted request waits for one in the pool.
    const last = ask(installed.current, "alice")
    await releaseAll(all.slice(0, 1))
    expect(await areIn([...all, last])).to.deep.equal([true, false, true])
    await releaseAll(admitted)
    await releaseAll([last, ...all.slice(1)])
  })

  it("include those that had a connection before the window", async () => {
    const before = strangers(2)
    for (const { connected, runner } of before) {
      await connected
      await runner.query("select 1")
    }
    await enter(1)
    const after = strangers(2)
    expect(await areIn(after)).to.deep.equal([false, false])
    await releaseAll(before.slice(0, 1))
    expect(await areIn(after)).to.deep.equal([false, false])
    await releaseAll(before.slice(1))
    expect(await areIn(after)).to.deep.equal([true, false])
    await releaseAll(after)
  })

  it("do not include connections of the maintainer, whichever user had them before", async () => {
    const own = ["alice", "alice"].map((user) => ask(installed.current, user))
    for (const { connected } of own) await connected
    await enter(1)
    const [stranger] = strangers(1)
    expect(await areIn([stranger as Asking])).to.deep.equal([true])
    await releaseAll([...own, stranger as Asking])
  })

  it("are no longer limited when the maintainer leaves", async () => {
    await enter(1)
    const all = strangers(4)
    expect(await areIn(all)).to.deep.equal([true, false, false, false])
    await installed.current.maintenance.leave({ as: "alice" })
    await Promise.all(all.map(({ connected }) => connected))
    await releaseAll(all)
  })

  it("are refused instead of waiting when the mode is switched to exclusive", async () => {
    const { dataSource, maintenance } = installed.current
    await enter(1)
    const [first] = strangers(1)
    await first?.connected
    const reading = errorOf(dataSource.query("select 1"))
    await maintenance.enter("exclusive", { as: "alice" })
    expect(await reading).to.be.instanceOf(AccessRefusedError)
    expect(await reading).to.include({ mode: "exclusive", maintainer: "alice" })
    await first?.runner.release()
  })

  it("are limited as before when the mode is switched to exclusive and back, until the maintainer leaves", async () => {
    const { maintenance } = installed.current
    const switchTo = (mode: "concurrent" | "exclusive", readers?: number) =>
      maintenance.enter(mode, { as: "alice", readers })
    expect(await switchTo("concurrent", 2)).to.include({ readers: 2 })
    expect(await switchTo("exclusive")).not.to.have.property("readers")
    expect(await switchTo("concurrent")).to.include({ readers: 2 })
    await maintenance.leave({ as: "alice" })
    expect(await switchTo("exclusive")).not.to.have.property("readers")
    expect(await switchTo("concurrent")).not.to.have.property("readers")
  })

  it("are limited to a new number when that is given", async () => {
    await enter(1)
    const all = strangers(4)
    expect(await areIn(all)).to.deep.equal([true, false, false, false])
    await enter(3)
    expect(await areIn(all)).to.deep.equal([true, true, true, false])
    await enter(2)
    await releaseAll(all.slice(0, 1))
    expect(await areIn(all)).to.deep.equal([true, true, true, false])
    await releaseAll(all.slice(1, 2))
    expect(await areIn(all)).to.deep.equal([true, true, true, true])
    await releaseAll(all.slice(2))
  })

  it("are admitted once they become the maintainer, and limited once they no longer are", async () => {
    const { maintenance } = installed.current
    await enter(1)
    const [first] = strangers(1)
    const bob = ask(installed.current, "bob")
    expect(await areIn([first as Asking, bob])).to.deep.equal([true, false])
    await maintenance.transfer({ as: "alice", to: "bob" })
    expect(await areIn([bob])).to.deep.equal([true])
    const alice = ask(installed.current, "alice")
    await asFarAsItCan()
    expect(alice.isIn).to.equal(false)
    await releaseAll([first as Asking, alice, bob])
  })

  it("are limited while the state is being reread", async () => {
    const { maintenance } = installed.current
    await enter(1)
    const all = strangers(3)
    expect(await areIn(all)).to.deep.equal([true, false, false])
    await withClient(database.current.url, async (client) => {
      await client.query("begin")
      await client.query("lock table maintenance.state in access exclusive mode")
      await database.current.sql("select pg_notify($1, 'expiry')", [channelOf("maintenance")])
      const isReading = "select from pg_locks where pg_backend_pid() = any (pg_blocking_pids(pid))"
      await until(async () => (await client.query(isReading)).rows.length > 0)
      const late = ask(installed.current)
      await releaseAll(all.slice(0, 1))
      await asFarAsItCan()
      expect([...all, late].map(({ isIn }) => isIn)).to.deep.equal([true, true, false, false])
      all.push(late)
      await client.query("rollback")
    })
    await maintenance.status()
    expect(await areIn(all)).to.deep.equal([true, true, false, false])
    await releaseAll(all.slice(1))
  })

  it("are shown in the status of every process", async () => {
    const { maintenance } = installed.current
    expect(await enter(2)).to.include({ readers: 2 })
    expect(await maintenance.status()).to.include({ readers: 2 })
    await withMaintenance(database.current.url, {}, async (other) => {
      expect(await other.maintenance.status()).to.include({ readers: 2 })
    })
    expect(await maintenance.enter("concurrent", { as: "alice" })).to.include({ readers: 2 })
    expect(await maintenance.leave({ as: "alice" })).not.to.have.property("readers")
    expect(await maintenance.enter("concurrent", { as: "alice" })).not.to.have.property("readers")
  })

  it("are limited separately in each instance", async () => {
    await enter(1)
    await withMaintenance(database.current.url, {}, async (other) => {
      const here = strangers(2)
      const there = [ask(other), ask(other)]
      expect(await areIn(here)).to.deep.equal([true, false])
      await there[0]?.connected
      await releaseAll(here)
      expect(there.map(({ isIn }) => isIn)).to.deep.equal([true, false])
      await releaseAll(there)
    })
  })

  it("wait no longer than they would for the pool", async () => {
    const options = { connectTimeoutMS: 500 }
    await withMaintenance(database.current.url, options, async (other) => {
      await other.maintenance.enter("concurrent", { as: "alice", reason: "rebuild", readers: 1 })
      const first = ask(other)
      await first.connected
      let told: unknown
      other.maintenance.on("refused", (error) => (told = error))
      const error = (await errorOf(other.dataSource.query("select 1"))) as AccessRefusedError
      expect(error).to.be.instanceOf(AccessRefusedError)
      expect(error.detailedMessage)
        .to.match(
          /^No connection available: the system has been in concurrent maintenance by alice \(rebuild\) since .* UTC\. /,
        )
        .and.include(
          "Other users may use 1 connection of each instance (readers), and none became free within 500 ms.",
        )
      expect(error).to.include({ mode: "concurrent", maintainer: "alice", reason: "rebuild" })
      expect(told).to.equal(error)
      await first.runner.release()
      expect(await other.dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
    })
  })

  it("are rejected if the DataSource is destroyed while they wait", async () => {
    await enter(1)
    let waiting: Promise<unknown>[] = []
    await withMaintenance(database.current.url, {}, async (other) => {
      await ask(other).connected
      waiting = Array.from({ length: 3 }, () => errorOf(ask(other).connected))
      await asFarAsItCan()
    })
    for (const error of await Promise.all(waiting)) {
      expect(error).to.be.instanceOf(StateUnavailableError).and.include({ isDestroyed: true })
      expect((error as Error).message).to.include("while this call waited for a connection")
    }
  })

  it("are rejected if the plugin is uninstalled while they wait, and then no longer limited", async () => {
    await enter(1)
    await withMaintenance(database.current.url, {}, async (other) => {
      const first = ask(other)
      await first.connected
      const waiting = errorOf(ask(other).connected)
      await asFarAsItCan()
      await other.maintenance.uninstall()
      expect(await waiting).to.be.instanceOf(StateUnavailableError)
      expect(await other.dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
      await first.runner.release()
    })
  })

  it("make room when the server terminates their session", async () => {
    const { dataSource } = installed.current
    await enter(1)
    const barrier = await Barrier.close(database.current.url)
    const first = errorOf(dataSource.query(`select pg_advisory_xact_lock(${barrier.key})`))
    const second = dataSource.query("select 1 as one")
    await barrier.terminateWaiting()
    expect(await first).to.have.nested.property("driverError.code", "57P01")
    expect(await second).to.deep.equal([{ one: 1 }])
    await barrier.open()
  })

  it("make room when an idle connection of theirs ends", async () => {
    await enter(1)
    const [first, second] = [ask(installed.current), ask(installed.current)]
    expect(await areIn([first, second])).to.deep.equal([true, false])
    const [{ pid }] = await first.runner.query("select pg_backend_pid() as pid")
    await database.current.sql("select pg_terminate_backend($1, 60000)", [pid])
    await second.connected
    await releaseAll([first, second])
  })

  it("make room when their connection attempt fails", async () => {
    const proxy = await Proxy.start(database.current.url)
    try {
      await withMaintenance(proxy.url, { poolSize: 2 }, async (other) => {
        await enter(1)
        const own = ask(other, "alice")
        await own.connected
        await other.maintenance.status()
        proxy.cutNext("before")
        const [first, second] = [ask(other), ask(other)]
        expect(await errorOf(first.connected)).to.be.instanceOf(Error)
        await second.connected
        await releaseAll([own, second])
      })
    } finally {
      await proxy.stop()
    }
  })

  it("make room when they are released before they have a connection", async () => {
    await enter(1)
    const all = strangers(3)
    expect(await areIn(all)).to.deep.equal([true, false, false])
    await all[1]?.runner.release()
    await all[0]?.runner.release()
    await all[2]?.connected
    await all[2]?.runner.release()
  })

  it("are all answered if there are 1000, and never exceed the limit", async () => {
    const { dataSource } = installed.current
    const pool = poolOf(dataSource)
    await enter(2)
    const lent = new Set<PoolClient>()
    let most = 0
    const acquired = (client: PoolClient) => {
      lent.add(client)
      most = Math.max(most, lent.size)
    }
    const released = (_: unknown, client: PoolClient) => void lent.delete(client)
    pool.on("acquire", acquired).on("release", released)
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, index) => dataSource.query("select $1::int as answer", [index])),
    )
    pool.off("acquire", acquired).off("release", released)
    expect(answers.map(([{ answer }]) => answer)).to.deep.equal(
      Array.from({ length: 1000 }, (_, index) => index),
    )
    expect(most).to.equal(2)
  })
})
