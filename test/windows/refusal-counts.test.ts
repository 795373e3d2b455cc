import { expect } from "chai"
import { AccessRefusedError, MaintenanceInputError, WriteVetoedError } from "../../src"
import { type CountedRefusals, RefusalCounts } from "../../src/state/refusal-counts"
import { errorOf } from "../support/error-of"

describe("The counts of refusals", () => {
  /** Every report. `fail` returns the error of a report, if it fails. */
  const counting = (fail: (time: number) => Error | undefined = () => undefined) => {
    const told: (readonly CountedRefusals[])[] = []
    const counts = new RefusalCounts(async (given) => {
      const error = fail(told.push(given))
      if (error) throw error
    })
    return { told, counts }
  }
  const veto = (...entities: string[]) =>
    new WriteVetoedError("", {
      changes: entities.map((entity) => ({ entity, operation: "insert" as const })),
    })
  const summary = (given: readonly CountedRefusals[] = []) =>
    given.map(({ entity = "-", count }) => `${entity} ${count}`)
  /** Runs at a given time of this process's clock. */
  const at = async (ms: number, work: () => unknown) => {
    const { now } = Date
    Date.now = () => ms
    try {
      await work()
    } finally {
      Date.now = now
    }
  }

  it("are reported once, and not at all without refusals", async () => {
    const { told, counts } = counting()
    await counts.report()
    expect(counts.hasUnreported).to.equal(false)
    await at(60_000, () => {
      counts.count("w", veto("Item", "Order"))
      counts.count("w", veto("Item"))
      counts.count("w", new AccessRefusedError(""))
    })
    expect(counts.hasUnreported).to.equal(true)
    await counts.report()
    await counts.report()
    expect(told.map(summary)).to.deep.equal([["Item 2", "Order 1", "- 1"]])
    expect(told[0]?.[0]).to.include({ window_id: "w", minute: 1, operation: "insert" })
  })

  it("are reported again after a failure, as totals of the same minute", async () => {
    const { told, counts } = counting((time) => (time === 1 ? new Error("lost") : undefined))
    await at(60_000, () => counts.count("w", veto("Item")))
    expect(await errorOf(counts.report())).to.be.instanceOf(Error)
    await at(60_000, () => counts.count("w", veto("Item")))
    await at(120_000, () => counts.count("w", veto("Item")))
    await counts.report()
    expect(told.map(summary)).to.deep.equal([["Item 1"], ["Item 2", "Item 1"]])
    expect(told[1]?.map(({ minute }) => minute)).to.deep.equal([1, 2])
  })

  it("continue within a reported minute, even if the clock is set back to it", async () => {
    const { told, counts } = counting()
    await at(60_000, () => counts.count("w", veto("Item")))
    await counts.report()
    await at(120_000, () => counts.count("w", veto("Item")))
    await counts.report()
    await at(60_000, () => counts.count("w", veto("Item")))
    await counts.report()
    expect(told.flat().map(({ minute, count }) => [minute, count])).to.deep.equal([
      [1, 1],
      [2, 1],
      [2, 2],
    ])
  })

  it("name only the first thousand unreported entities, but include every refusal", async () => {
    const { told, counts } = counting()
    await at(60_000, () => {
      for (let i = 0; i < 1200; i++) counts.count("w", veto(`Entity${i}`))
    })
    await counts.report()
    expect(summary(told[0]).at(-1)).to.equal("- 200")
    expect(told[0]).to.have.lengthOf(1001)
  })

  it("are dropped if the database cannot store the name of an entity", async () => {
    const { told, counts } = counting(() => new MaintenanceInputError("no such character"))
    counts.count("w", veto("Größe"))
    await counts.report()
    await counts.report()
    expect(told).to.have.lengthOf(1)
  })
})
