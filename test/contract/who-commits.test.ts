import { expect } from "chai"
import { AccessRefusedError, WriteVetoedError } from "../../src"
import { withRunner } from "../doors/door"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { runScript } from "../support/run-script"
import { openShop } from "../support/shop"
import { notWaiting } from "../support/window"

describe("The user at the commit", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  beforeEach(() => database.current.sql("delete from audit"))
  afterEach(() => installed.current.maintenance.leave({ as: "alice", ifHeld: true }))

  const insert = "insert into audit (note) values ('x')"

  it("decides, so the order of decorators matters, as with typeorm-transactional", async () => {
    const { message } = await runScript("transactional", database.current.url)
    const { committedByAlice, committedByNobody, followed } = message as Record<string, WriteVetoedError>
    expect(committedByAlice).to.equal("stored")
    expect(committedByNobody?.actedFor).to.deep.equal({ first: "alice" })
    expect(committedByNobody?.detailedMessage).to.match(
      /The code acted for alice when the transaction began and for no user when it committed\. The user at the commit counts\.$/,
    )
    expect(await database.current.sql("select note from audit")).to.deep.equal([{ note: "committedByAlice" }])
    // afterCommit() knows the transaction of that library without a manager.
    expect(followed).to.deep.equal(["in the transaction", "committed"])
  })

  it("is named in the refusal along with the user at the start of the transaction, in each mode", async () => {
    const { maintenance } = installed.current
    const told = {
      concurrent: WriteVetoedError,
      exclusive: AccessRefusedError,
    } as const
    for (const [mode, RefusalError] of Object.entries(told)) {
      await maintenance.enter(mode as keyof typeof told, { as: "alice", drain: notWaiting })
      await withRunner(installed.current.dataSource, async (runner) => {
        await maintenance.runAs("alice", async () => {
          await runner.startTransaction()
          await runner.query(insert)
        })
        const refusal = await errorOf(maintenance.runAs("bob", () => runner.commitTransaction()))
        expect(refusal).to.be.instanceOf(RefusalError)
        expect(refusal).to.have.deep.property("actedFor", { first: "alice", last: "bob" })
        expect((refusal as WriteVetoedError).detailedMessage).to.include(
          "The code acted for alice when the transaction began and for bob when it committed. The user at the commit counts.",
        )
        await runner.rollbackTransaction().catch(() => undefined)
      })
    }
    expect(await database.current.sql("select from audit")).to.have.length(0)
  })

  it("is also named in the refusal of a statement within a transaction", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
    await withRunner(installed.current.dataSource, async (runner) => {
      await maintenance.runAs("alice", async () => {
        await runner.startTransaction()
        await runner.query(insert)
      })
      const refusal = await errorOf(runner.query("select 1"))
      expect(refusal).to.have.deep.property("actedFor", { first: "alice", last: undefined })
      expect((refusal as WriteVetoedError).detailedMessage).to.match(
        /The code acted for alice when the transaction began and for no user when it was refused\.$/,
      )
      await runner.rollbackTransaction()
    })
  })

  it("is not named if it is the same user, nor are users from before the transaction", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    await withRunner(installed.current.dataSource, async (runner) => {
      await maintenance.runAs("alice", () => runner.query(insert))
      await maintenance.runAs("alice", async () => {
        await runner.startTransaction()
        await runner.query(insert)
        await runner.commitTransaction()
      })
      const refusals = [
        await errorOf(runner.query(insert)),
        await (async () => {
          await runner.startTransaction()
          await runner.query(insert)
          const error = await errorOf(runner.commitTransaction())
          await runner.rollbackTransaction()
          return error
        })(),
      ]
      for (const refusal of refusals) {
        expect(refusal).to.be.instanceOf(WriteVetoedError)
        expect(refusal).not.to.have.property("actedFor")
        expect((refusal as WriteVetoedError).detailedMessage).to.match(
          /Try again when the maintenance is over\.$/,
        )
      }
      await maintenance.enter("exclusive", { as: "alice", drain: notWaiting })
      await maintenance.runAs("alice", async () => {
        await runner.startTransaction()
        await runner.query(insert)
        await runner.commitTransaction()
      })
      const refusal = await errorOf(runner.query(insert))
      expect(refusal).to.be.instanceOf(AccessRefusedError)
      expect(refusal).not.to.have.property("actedFor")
    })
  })
})
