import { expect } from "chai"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { nothingStray, stray } from "../support/pool"
import { openShop } from "../support/shop"
import { abandon, rowsOf, withRunner } from "./door"

const writing = "select write_audit(g::text) from generate_series(1, 300) g"
const reading = "select g from generate_series(1, 250) g"

describe("A stream of a stranger that writes, abandoned in concurrent mode,", () => {
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

  it("does not harm the next query on its connection", async () => {
    const { dataSource } = installed.current
    expect(await forTenTimes(() => dataSource.query("select 1 as one"))).to.deep.equal(['[{"one":1}]'])
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
  })

  it("does not harm the next query object on its connection, which gets all of its rows", async () => {
    const { dataSource } = installed.current
    const read = () =>
      withRunner(dataSource, async (runner) => (await rowsOf(await runner.stream(reading))).length)
    expect(await forTenTimes(read)).to.deep.equal(["250"])
  })

  it("can be abandoned again", async () => {
    const { dataSource } = installed.current
    const again = () => withRunner(dataSource, async (runner) => abandon(await runner.stream(reading), 10))
    expect(await forTenTimes(again)).to.deep.equal(["10"])
  })
})
