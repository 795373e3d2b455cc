import { expect } from "chai"
import type { DataSource, QueryRunner } from "typeorm"
import { withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { ledgerSql, post, posted, postSql } from "../support/ledger"
import { poolOf } from "../support/pool"
import { notWaiting } from "../support/window"

const as = "alice"

describe("A pool without a free connection", () => {
  const database = useDatabase()
  before(() => database.current.sql(ledgerSql))

  const lend = async (dataSource: DataSource): Promise<QueryRunner> => {
    const runner = dataSource.createQueryRunner()
    await runner.query("begin")
    await runner.query(postSql)
    return runner
  }
  const waitingFor = (dataSource: DataSource): number => poolOf(dataSource).waitingCount

  for (const poolSize of [1, 2]) {
    for (const [whose, user, outcome, count] of [
      ["by other users", "bob", "WriteVetoedError", 0],
      ["by the maintainer", as, "done", poolSize],
    ] as const) {
      it(`does not prevent a mode from being entered, read, extended, handed over and left: ${poolSize} used ${whose}`, async () => {
        await withMaintenance(database.current.url, { poolSize }, async ({ dataSource, maintenance }) => {
          const rows = await posted(database.current)
          const lent = await maintenance.runAs(user, () =>
            Promise.all(Array.from({ length: poolSize }, () => lend(dataSource))),
          )
          const queued = post(dataSource)
          expect(waitingFor(dataSource)).to.equal(1)
          const { unacknowledged } = await maintenance.enter("exclusive", { as, drain: notWaiting })
          expect(unacknowledged).to.deep.equal([])
          expect(await maintenance.status()).to.include({ state: "exclusive", maintainer: as })
          await maintenance.enter("concurrent", { as })
          await maintenance.extend({ as, expiresInMs: 2 ** 31 - 1 })
          await maintenance.transfer({ as, to: "carol" })
          await maintenance.enter("exclusive", { as: "break-glass", drain: notWaiting })
          await maintenance.leave({ as: "break-glass" })
          await maintenance.enter("concurrent", { as })
          expect(waitingFor(dataSource)).to.equal(1)
          for (const runner of lent) {
            const committed = maintenance.runAs(user, () => runner.query("commit"))
            expect(
              await committed.then(
                () => "done",
                (error: Error) => error.constructor.name,
              ),
            ).to.equal(outcome)
            await runner.release()
          }
          expect(await queued).to.equal("WriteVetoedError")
          expect(await posted(database.current)).to.equal(rows + count)
          await maintenance.leave({ as })
          expect(await post(dataSource)).to.equal("done")
        })
      })
    }
  }
})
