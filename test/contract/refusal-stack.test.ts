import { expect } from "chai"
import type { DataSource } from "typeorm"
import { AccessRefusedError, WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Tag } from "../support/entities"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { notWaiting } from "../support/window"

const insert = "insert into audit (note) values ('x')"

/** A function of the application. It appears in the stack of what it awaits. */
async function codeOfApplication(work: () => Promise<unknown>): Promise<unknown> {
  return await work()
}

describe("The stack of a refusal", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  afterEach(() => installed.current.maintenance.leave({ as: "alice", ifHeld: true }))

  const doors: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
    "query()": (d) => d.query(insert),
    "save()": (d) => d.getRepository(Tag).save({ label: "x" }),
    "a transaction": (d) => d.transaction((manager) => manager.query(insert)),
    "a query builder": (d) => d.createQueryBuilder().insert().into(Tag).values({ label: "x" }).execute(),
  }
  it("contains nothing of the maintainer, even if the name contains lines that look like frames", async () => {
    const { dataSource, maintenance } = installed.current
    const name = "alice\n    at night (secret)"
    await maintenance.enter("concurrent", { as: name, reason: "a\n    at b (secret)" })
    const refusal = (await errorOf(codeOfApplication(() => dataSource.query(insert)))) as Error
    expect(refusal).to.be.instanceOf(WriteVetoedError)
    expect(`${refusal.stack}${refusal.message}`).not.to.include("secret")
    expect(refusal.stack).to.include("codeOfApplication")
    await maintenance.leave({ as: name })
  })

  it("leads to the application's code if the user has changed within the transaction", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice", drain: notWaiting })
    const work = () =>
      dataSource.transaction((manager) => maintenance.runAs("bob", () => manager.query(insert)))
    const refusal = (await errorOf(codeOfApplication(work))) as WriteVetoedError
    expect(refusal.actedFor).to.deep.equal({ first: "bob", last: undefined })
    expect(refusal.stack).to.include("codeOfApplication")
  })

  for (const [name, door] of Object.entries(doors)) {
    for (const mode of ["concurrent", "exclusive"] as const) {
      it(`leads to the application's code in ${mode} mode: ${name}`, async () => {
        const { dataSource, maintenance } = installed.current
        await maintenance.enter(mode, { as: "alice", drain: notWaiting })
        const refusal = (await errorOf(codeOfApplication(() => door(dataSource)))) as Error
        expect(refusal).to.be.instanceOf(mode === "exclusive" ? AccessRefusedError : WriteVetoedError)
        expect(refusal.stack).to.include("codeOfApplication")
      })
    }
  }
})
