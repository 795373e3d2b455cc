import { expect } from "chai"
import { Query } from "pg"
import type { DataSource, QueryRunner } from "typeorm"
import { AccessRefusedError, MaintenanceSetupError } from "../../src"
import { EarlyRefusals } from "../../src/enforcement/early-refusal"
import { type Installed, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Item } from "../support/entities"
import { openShop } from "../support/shop"
import { notWaiting } from "../support/window"

/** The part of a pg client that the doors below use. */
interface RawClient {
  query(statement: object): void
  query(text: string): Promise<unknown>
  query(text: string, callback: (error: unknown) => void): void
}

/** One attempt to read. `runner` has had a connection since before the window. */
type Door = (dataSource: DataSource, runner: QueryRunner, unconnected: QueryRunner) => Promise<unknown>

const poolOf = (dataSource: DataSource) => (dataSource.driver as unknown as { master: RawClient }).master
const clientOf = async (runner: QueryRunner) => (await runner.connect()) as RawClient
const calledBack = (query: (callback: (error: unknown) => void) => void) =>
  new Promise<void>((resolve, reject) => query((error) => (error ? reject(error) : resolve())))

const doors: Record<string, Door> = {
  "dataSource.query": (d) => d.query("select 1"),
  "a repository": (d) => d.getRepository(Item).find(),
  "a query builder": (d) => d.getRepository(Item).createQueryBuilder("item").getMany(),
  "dataSource.transaction": (d) => d.transaction((manager) => manager.query("select 1")),
  "a query runner": (_d, _runner, unconnected) => unconnected.query("select 1"),
  "queryRunner.connect": (_d, _runner, unconnected) => unconnected.connect(),
  "queryRunner.startTransaction": async (_d, _runner, unconnected) => {
    await unconnected.startTransaction()
    await unconnected.rollbackTransaction()
  },
  "queryRunner.stream": async (_d, _runner, unconnected) => {
    for await (const _row of await unconnected.stream("select 1")) continue
  },
  "a query runner with a connection": (_d, runner) => runner.query("select 1"),
  "the raw client": async (_d, runner) => (await clientOf(runner)).query("select 1"),
  "the raw client with a callback": async (_d, runner) => {
    const client = await clientOf(runner)
    await calledBack((callback) => client.query("select 1", callback))
  },
  "a query object": async (_d, runner) => {
    const client = await clientOf(runner)
    const query = new Query("select 1")
    const ended = new Promise((resolve, reject) => query.on("end", resolve).on("error", reject))
    client.query(query)
    await ended
  },
  "the pool": (d) => poolOf(d).query("select 1"),
  "the pool with a callback": (d) => calledBack((callback) => poolOf(d).query("select 1", callback)),
}

/**
 * Retries without a pause until it succeeds. Fails if the event loop has not turned for a hundred attempts.
 */
async function retry(attempt: () => Promise<unknown>): Promise<unknown> {
  let untilTurn = 100
  let turning = setImmediate(function turned() {
    untilTurn = 100
    turning = setImmediate(turned)
  })
  let refusal: unknown
  try {
    for (;;) {
      try {
        await attempt()
        return refusal
      } catch (error) {
        refusal = error
        if (untilTurn-- === 0) throw new Error("the process was frozen", { cause: error })
      }
    }
  } finally {
    clearImmediate(turning)
  }
}

describe("A caller that retries without a pause", () => {
  const database = useDatabase()
  before(() => openShop(database.current))

  /** Retries a door without a pause while others hold exclusive mode. Resolves after they have left. */
  async function retryUntilLeft(door: Door, { dataSource, maintenance }: Installed): Promise<unknown> {
    const [runner, unconnected] = [dataSource.createQueryRunner(), dataSource.createQueryRunner()]
    try {
      await runner.connect()
      // Ensures that the pool has a second connection ready.
      await dataSource.query("select 1")
      await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
      const retrying = retry(() => door(dataSource, runner, unconnected))
      await maintenance.leave({ as: "alice" })
      return await retrying
    } finally {
      await runner.release()
      await unconnected.release()
    }
  }

  for (const [name, door] of Object.entries(doors)) {
    it(`learns that exclusive mode is over: ${name}`, () =>
      withMaintenance(database.current.url, {}, async (installed) => {
        expect(await retryUntilLeft(door, installed)).to.be.instanceOf(AccessRefusedError)
      }))
  }

  it("learns that a window is over if the maximum number of calls already waits", () =>
    withMaintenance(
      database.current.url,
      { plugin: { onRefused: "wait", maxWaiting: 0 } },
      async (installed) => {
        const refusal = await retryUntilLeft((d) => d.query("select 1"), installed)
        expect(refusal).to.be.instanceOf(AccessRefusedError)
        expect(String(refusal)).to.include("maxWaiting")
      },
    ))

  for (const [name, door] of Object.entries(doors)) {
    it(`learns that the application can name the user again: ${name}`, () => {
      let isKnown = true
      const currentUser = () => {
        if (isKnown) return "bob"
        throw new RangeError("no context")
      }
      return withMaintenance(database.current.url, { plugin: { currentUser } }, async ({ dataSource }) => {
        const [runner, unconnected] = [dataSource.createQueryRunner(), dataSource.createQueryRunner()]
        try {
          await runner.connect()
          isKnown = false
          setImmediate(() => setImmediate(() => (isKnown = true)))
          const refusal = await retry(() => door(dataSource, runner, unconnected))
          // A door that sends nothing does not request the user.
          if (refusal) expect(refusal).to.be.instanceOf(MaintenanceSetupError)
        } finally {
          await runner.release()
          await unconnected.release()
        }
      })
    })
  }
})

describe("Early refusals", () => {
  const { setTimeout: realSetTimeout } = globalThis
  let delays: number[] = []
  beforeEach(() => {
    delays = []
    const recording = (work: () => void, ms: number) => {
      delays.push(ms)
      return realSetTimeout(work, 0)
    }
    globalThis.setTimeout = recording as unknown as typeof setTimeout
  })
  afterEach(() => {
    globalThis.setTimeout = realSetTimeout
  })

  const turn = () => new Promise(setImmediate)
  const refused = (early: EarlyRefusals) => early.reject(new RangeError("refused")).catch(() => undefined)

  it("are delayed a little longer each time for a caller that retries without a pause", async () => {
    const early = new EarlyRefusals()
    for (let attempt = 0; attempt < 40; attempt++) await refused(early)
    const growing = Array.from({ length: 19 }, (_, index) => index + 1)
    expect(delays).to.deep.equal([...growing, ...Array.from({ length: 11 }, () => 20)])
  })

  it("are not delayed for concurrent callers, even a thousand", async () => {
    const early = new EarlyRefusals()
    await Promise.all(Array.from({ length: 1000 }, () => refused(early)))
    expect(delays).to.deep.equal([])
  })

  it("are not delayed for other callers while one retries without a pause", async () => {
    const early = new EarlyRefusals()
    let isOver = false
    const retrying = (async () => {
      for (let attempt = 0; attempt < 40; attempt++) await refused(early)
      isOver = true
    })()
    let others = 0
    while (!isOver) {
      await turn()
      others++
      void refused(early)
    }
    await retrying
    expect(others).to.be.greaterThan(10)
    expect(delays.length).to.equal(30)
  })

  it("are not delayed for a caller that pauses", async () => {
    const early = new EarlyRefusals()
    for (let attempt = 0; attempt < 40; attempt++) {
      await refused(early)
      await turn()
    }
    expect(delays).to.deep.equal([])
  })
})
