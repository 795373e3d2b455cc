import { expect } from "chai"
import { MaintenanceInputError, WriteVetoedError } from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Item } from "../support/entities"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { warning } from "../support/warning"

describe("afterCommit()", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  afterEach(() => installed.current.maintenance.leave({ as: "alice", ifHeld: true }))

  let name = 0
  const item = () => ({ name: `after commit ${++name}` })

  it("runs the work once the transaction has committed, before the committing call resolves", async () => {
    const { dataSource, maintenance } = installed.current
    const told: string[] = []
    const made = item()
    await dataSource.transaction(async (manager) => {
      maintenance.afterCommit(async () => {
        // By another connection: what was written is there for everybody.
        told.push(`stored ${await dataSource.getRepository(Item).countBy({ name: made.name })}`)
      }, manager)
      await manager.insert(Item, made)
      told.push("inserted")
    })
    told.push("resolved")
    expect(told).to.deep.equal(["inserted", "stored 1", "resolved"])
  })

  it("runs the work after the outermost transaction, in the order of the calls", async () => {
    const { dataSource, maintenance } = installed.current
    const told: string[] = []
    await dataSource.transaction(async (manager) => {
      maintenance.afterCommit(() => told.push("first"), manager)
      await manager.transaction(async (inner) => {
        maintenance.afterCommit(() => told.push("second"), inner)
        await inner.insert(Item, item())
      })
      told.push("inner transaction is done")
      maintenance.afterCommit(() => told.push("third"), manager.queryRunner)
    })
    expect(told).to.deep.equal(["inner transaction is done", "first", "second", "third"])
  })

  it("never runs the work after a veto, not even with the next transaction of the query runner", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const told: string[] = []
    const runner = dataSource.createQueryRunner()
    await runner.startTransaction()
    await runner.manager.insert(Item, item())
    maintenance.afterCommit(() => told.push("vetoed"), runner)
    expect(await errorOf(runner.commitTransaction())).to.be.instanceOf(WriteVetoedError)
    await runner.rollbackTransaction().catch(() => undefined)
    await maintenance.leave({ as: "alice" })
    await runner.startTransaction()
    await runner.manager.insert(Item, item())
    maintenance.afterCommit(() => told.push("committed"), runner)
    await runner.commitTransaction()
    await runner.release()
    expect(told).to.deep.equal(["committed"])
  })

  it("never runs the work after a rollback; after a rollback to a savepoint, runs only what was registered before it", async () => {
    const { dataSource, maintenance } = installed.current
    const told: string[] = []
    const rolledBack = dataSource.transaction(async (manager) => {
      maintenance.afterCommit(() => told.push("rolled back"), manager)
      await manager.insert(Item, item())
      throw new Error("no")
    })
    await errorOf(rolledBack)
    await dataSource.transaction(async (manager) => {
      maintenance.afterCommit(() => told.push("before"), manager)
      await errorOf(
        manager.transaction(async (inner) => {
          maintenance.afterCommit(() => told.push("within"), inner)
          throw new Error("no")
        }),
      )
      maintenance.afterCommit(() => told.push("behind"), manager)
    })
    expect(told).to.deep.equal(["before", "behind"])
  })

  it("needs no manager within maintenance.transaction(), and starts afresh with each attempt", async () => {
    const { maintenance } = installed.current
    const told: number[] = []
    let attempt = 0
    await maintenance.transaction(async (manager) => {
      const current = ++attempt
      maintenance.afterCommit(() => told.push(current))
      await manager.insert(Item, item())
      if (current === 1) throw Object.assign(new Error("again"), { code: "40001" })
    })
    expect(told).to.deep.equal([2])
  })

  it("runs the work immediately if the manager has no open transaction", async () => {
    const { dataSource, maintenance } = installed.current
    const told: string[] = []
    maintenance.afterCommit(() => told.push("manager"), dataSource.manager)
    const runner = dataSource.createQueryRunner()
    maintenance.afterCommit(() => told.push("runner"), runner)
    await runner.release()
    expect(told).to.deep.equal(["manager", "runner"])
  })

  it("runs the work in the context of the call", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const written = new Promise<unknown>((resolve) => {
      void maintenance.runAs("alice", () =>
        dataSource.transaction(async (manager) => {
          maintenance.runAs("bob", () =>
            maintenance.afterCommit(
              () => resolve(errorOf(dataSource.getRepository(Item).insert(item()))),
              manager,
            ),
          )
          await manager.insert(Item, item())
        }),
      )
    })
    expect(await written).to.be.instanceOf(WriteVetoedError)
  })

  it("reports an error of the work as a warning, because the transaction is committed", async () => {
    const { dataSource, maintenance } = installed.current
    const warned = warning(/the work of an afterCommit\(\) call failed/)
    const made = item()
    await dataSource.transaction(async (manager) => {
      maintenance.afterCommit(() => Promise.reject(new Error("the mail server is down")), manager)
      await manager.insert(Item, made)
    })
    expect(await warned).to.equal(
      "The transaction is committed, but the work of an afterCommit() call failed: Error: the mail server is down",
    )
    expect(await dataSource.getRepository(Item).countBy({ name: made.name })).to.equal(1)
  })

  it("runs it if a subscriber of the application throws when the server has committed", async () => {
    const { dataSource, maintenance } = installed.current
    const told: string[] = []
    const failing = { afterTransactionCommit: () => Promise.reject(new Error("a subscriber at fault")) }
    const made = item()
    dataSource.subscribers.push(failing)
    try {
      const failed = dataSource.transaction(async (manager) => {
        maintenance.afterCommit(() => told.push("committed"), manager)
        await manager.insert(Item, made)
      })
      expect(await errorOf(failed)).to.have.property("message", "a subscriber at fault")
    } finally {
      dataSource.subscribers.splice(dataSource.subscribers.indexOf(failing), 1)
    }
    expect(await dataSource.getRepository(Item).countBy({ name: made.name })).to.equal(1)
    expect(told).to.deep.equal(["committed"])
  })

  it("does not run it if its savepoint is rolled back, even after a savepoint that failed", async () => {
    const { dataSource, maintenance } = installed.current
    const told: string[] = []
    const runner = dataSource.createQueryRunner()
    await runner.startTransaction()
    maintenance.afterCommit(() => told.push("outer"), runner)
    await runner.startTransaction()
    maintenance.afterCommit(() => told.push("inner"), runner)
    await errorOf(runner.query("select 1 / 0"))
    await errorOf(runner.startTransaction())
    await runner.rollbackTransaction()
    await runner.commitTransaction()
    await runner.release()
    expect(told).to.deep.equal(["outer"])
  })

  it("knows the transaction of each DataSource within maintenance.transaction()", async () => {
    const { maintenance } = installed.current
    const told: string[] = []
    await withMaintenance(database.current.url, {}, (other) =>
      maintenance.transaction(async () => {
        await other.maintenance.transaction(async () => {
          maintenance.afterCommit(() => told.push("outer"))
          other.maintenance.afterCommit(() => told.push("inner"))
        })
        told.push("inner is done")
      }),
    )
    expect(told).to.deep.equal(["inner", "inner is done", "outer"])
  })

  it("never runs the work if the server answers COMMIT with ROLLBACK, because an error was swallowed", async () => {
    const { dataSource, maintenance } = installed.current
    const told: string[] = []
    const made = item()
    await dataSource.transaction(async (manager) => {
      maintenance.afterCommit(() => told.push("failed"), manager)
      await manager.insert(Item, made)
      await errorOf(manager.query("select 1 / 0"))
    })
    await dataSource.transaction(async (manager) => {
      maintenance.afterCommit(() => told.push("committed"), manager)
      await manager.query("select 1")
    })
    expect(await dataSource.getRepository(Item).countBy({ name: made.name })).to.equal(0)
    expect(told).to.deep.equal(["committed"])
  })

  it("runs the work of a transaction in which nothing was sent", async () => {
    const { dataSource, maintenance } = installed.current
    const told: string[] = []
    await dataSource.transaction(async (manager) =>
      maintenance.afterCommit(() => told.push("empty"), manager),
    )
    expect(told).to.deep.equal(["empty"])
  })

  it("reports an error that has no text, and runs the work that follows", async () => {
    const { dataSource, maintenance } = installed.current
    const told: string[] = []
    const warned = warning(/afterCommit/)
    await dataSource.transaction(async (manager) => {
      // oxlint-disable-next-line typescript/only-throw-error
      maintenance.afterCommit(() => Promise.reject(Object.create(null)), manager)
      maintenance.afterCommit(() => told.push("second"), manager)
      await manager.query("select 1")
    })
    expect(await warned).to.match(
      /^The transaction is committed, but the work of an afterCommit\(\) call failed: /,
    )
    expect(told).to.deep.equal(["second"])
  })

  it("rejects a call that does not identify the transaction", async () => {
    const { dataSource, maintenance } = installed.current
    const nothing = () => undefined
    await dataSource.transaction(async () => {
      expect(() => maintenance.afterCommit(nothing)).to.throw(MaintenanceInputError, "Pass its manager")
    })
    let late: (() => void) | undefined
    await maintenance.transaction(async () => {
      late = () => maintenance.afterCommit(nothing)
    })
    expect(late).to.throw(MaintenanceInputError, "Pass its manager")
    await withMaintenance(database.current.url, {}, async (other) => {
      expect(() => maintenance.afterCommit(nothing, other.dataSource.manager)).to.throw(
        MaintenanceInputError,
        "of this DataSource",
      )
    })
    for (const manager of [null, "manager", 1, {}])
      expect(() => maintenance.afterCommit(nothing, manager as never)).to.throw(
        MaintenanceInputError,
        "of this DataSource",
      )
    expect(() => maintenance.afterCommit("work" as never)).to.throw(MaintenanceInputError, "afterCommit()")
  })
})
