import { once } from "node:events"
import type { Readable } from "node:stream"
import { expect } from "chai"
import { Barrier } from "../support/barrier"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { nothingStray, stray } from "../support/pool"
import type { DataSource } from "typeorm"
import { openShop } from "../support/shop"
import { abandon, rowsOf, withRunner } from "./door"

const writing = "select write_audit(g::text) from generate_series(1, 300) g"
const reading = "select g from generate_series(1, 250) g"

describe("A writing stream of another user, abandoned in concurrent mode,", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })
  before(() => openShop(database.current))
  beforeEach(() => installed.current.maintenance.enter("concurrent", { as: "alice" }))
  afterEach(() => installed.current.maintenance.leave({ as: "alice" }))

  const forTenTimes = async (next: () => Promise<unknown>) => {
    const { dataSource } = installed.current
    const answers: unknown[] = []
    for (let count = 0; count < 10; count++) {
      await withRunner(dataSource, async (runner) => abandon(await runner.stream(writing), 10))
      answers.push(await next().catch((error: Error) => error.message))
    }
    return [...new Set(answers.map((answer) => JSON.stringify(answer)))]
  }

  it("leaves the next query on its connection intact", async () => {
    const { dataSource } = installed.current
    expect(await forTenTimes(() => dataSource.query("select 1 as one"))).to.deep.equal(['[{"one":1}]'])
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
  })

  it("leaves the next query object on its connection intact, with all of its rows", async () => {
    const { dataSource } = installed.current
    const read = () =>
      withRunner(dataSource, async (runner) => (await rowsOf(await runner.stream(reading))).length)
    expect(await forTenTimes(read)).to.deep.equal(["250"])
  })

  it("leaves the next abandoned stream on its connection intact", async () => {
    const { dataSource } = installed.current
    const again = () => withRunner(dataSource, async (runner) => abandon(await runner.stream(reading), 10))
    expect(await forTenTimes(again)).to.deep.equal(["10"])
  })
})

describe("A stream that is closed early", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })

  const ways: Record<string, (stream: Readable) => Promise<void>> = {
    "by leaving its loop": async (stream) => {
      for await (const _ of stream) break
    },
    "by destroying it": async (stream) => {
      await once(stream, "readable")
      stream.destroy()
    },
  }
  const backends = async (dataSource: DataSource, giveUp: (stream: Readable) => Promise<void>) => {
    const pids = new Set<unknown>()
    for (let count = 0; count < 10; count++) {
      await withRunner(dataSource, async (runner) => giveUp(await runner.stream(reading)))
      pids.add((await dataSource.query("select pg_backend_pid() as pid"))[0].pid)
    }
    return pids.size
  }

  for (const [way, giveUp] of Object.entries(ways)) {
    it(`returns its connection to the pool: ${way}`, async () => {
      expect(await backends(installed.current.dataSource, giveUp)).to.equal(1)
    })

    it(`returns its connection to the pool within a transaction: ${way}`, async () => {
      const { dataSource } = installed.current
      const pids = new Set<unknown>()
      for (let count = 0; count < 10; count++) {
        await withRunner(dataSource, async (runner) => {
          await runner.startTransaction()
          await giveUp(await runner.stream(reading))
        })
        pids.add((await dataSource.query("select pg_backend_pid() as pid"))[0].pid)
      }
      expect(pids.size).to.equal(1)
      expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
    })
  }

  it("costs its connection if the server does not respond, and the next query uses a new one", async () => {
    const { dataSource } = installed.current
    const barrier = await Barrier.close(database.current.url)
    const waits = `select g, case when g > 150 then pg_advisory_lock(${barrier.key}) end from generate_series(1, 250) g`
    await withRunner(dataSource, async (runner) => {
      const stream = await runner.stream(waits)
      // The first batch has arrived, and the server blocks during the second.
      await once(stream, "readable")
      while (stream.read() !== null);
      await barrier.waiting()
      stream.destroy()
    })
    expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
    await barrier.open()
  })
})
