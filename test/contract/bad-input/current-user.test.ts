import { expect } from "chai"
import type { DataSource } from "typeorm"
import { type Maintenance, MaintenanceInputError, MaintenanceSetupError } from "../../../src"
import { withRunner } from "../../doors/door"
import { type Installed, withMaintenance, withPlainDataSource } from "../../support/data-source"
import { useDatabase } from "../../support/database"
import { Item } from "../../support/entities"
import { thrown } from "./bad-call"

const outage = new Error("the session store is down")
const aUser = "A user must be a string of 1 to 200 characters or an integer."
const promised =
  "The option currentUser returned a promise, but it is called for every statement and must return the user synchronously. Look up the user when the request begins and keep it in an AsyncLocalStorage, or run the request within runAs()."

/** Faults of the option currentUser: its title, the function, the message, and the cause of the error. */
const faults: readonly [title: string, currentUser: () => unknown, message: string, cause?: unknown][] = [
  [
    "throws",
    () => {
      throw outage
    },
    "The option currentUser threw an error (the session store is down), so the current user is not known, and nothing was sent. Make it return undefined where there is no user.",
    outage,
  ],
  [
    "returns a number beyond 2^53",
    () => 2 ** 53,
    `The option currentUser returned a number that is not a safe integer (9007199254740992). ${aUser}`,
  ],
  [
    "returns NaN",
    () => NaN,
    `The option currentUser returned a number that is not a safe integer (NaN). ${aUser}`,
  ],
  ["returns an object", () => ({ id: 7 }), `The option currentUser returned an object. ${aUser}`],
  ["returns a promise", async () => "alice", promised],
  ["returns a promise that rejects", () => Promise.reject(outage), promised],
  [
    "returns 201 characters",
    () => "a".repeat(201),
    `The option currentUser returned a user that is longer than 200 characters. ${aUser}`,
  ],
  [
    "returns a null character",
    () => "al\0ice",
    `The option currentUser returned a user that contains a null character. ${aUser}`,
  ],
]

const calls: Record<string, (dataSource: DataSource, maintenance: Maintenance) => Promise<unknown>> = {
  "a write": (d) => d.query("insert into item (name) values ('crate')"),
  "a read": (d) => d.query("select 1"),
  save: (d) => d.getRepository(Item).save({ name: "crate" }),
  "a transaction": (d) => d.transaction((manager) => manager.insert(Item, { name: "crate" })),
  enter: (_, m) => m.enter("concurrent"),
  leave: (_, m) => m.leave(),
}

describe("The option currentUser", () => {
  const database = useDatabase()
  before(() => withPlainDataSource(database.current.url, {}, (dataSource) => dataSource.synchronize()))

  for (const [title, currentUser, message, cause] of faults) {
    describe(`when it ${title}`, () => {
      /** Runs work on one connection, with a switch for the fault. Asserts that nothing was changed. */
      const withFault = (work: (application: Installed, fail: () => void) => Promise<void>) => {
        let ask: () => unknown = () => undefined
        const plugin = { currentUser: () => ask() as string | undefined }
        return withMaintenance(database.current.url, { plugin, poolSize: 1 }, async (application) => {
          const { dataSource, maintenance } = application
          const before = await maintenance.status()
          await work(application, () => (ask = currentUser))
          ask = () => undefined
          await dataSource.transaction((manager) => manager.query("select 1"))
          expect(await dataSource.getRepository(Item).count()).to.equal(0)
          expect(await maintenance.status()).to.deep.equal(before)
        })
      }
      const expectFault = async (call: () => unknown, label: string) => {
        const error = await thrown(MaintenanceSetupError, call, label)
        expect(error.message, label).to.equal(message)
        expect(error.cause, label).to.equal(cause)
      }

      it("every statement fails closed", () =>
        withFault(async ({ dataSource, maintenance }, fail) => {
          fail()
          for (const [name, call] of Object.entries(calls)) {
            await expectFault(() => call(dataSource, maintenance), name)
          }
        }))

      it("a commit fails closed, and the connection is clean", () =>
        withFault(async ({ dataSource }, fail) => {
          const insert = () =>
            dataSource.transaction(async (manager) => {
              await manager.insert(Item, { name: "crate" })
              fail()
            })
          await expectFault(insert, "commit")
        }))

      it("a transaction that fails by itself is rolled back, and keeps its error", () =>
        withFault(async ({ dataSource }, fail) => {
          const insert = () =>
            dataSource.transaction(async (manager) => {
              await manager.insert(Item, { name: "crate" })
              fail()
              throw new RangeError("out of stock")
            })
          expect((await thrown(RangeError, insert)).message).to.equal("out of stock")
        }))

      it("an explicit rollback passes", () =>
        withFault(({ dataSource }, fail) =>
          withRunner(dataSource, async (runner) => {
            await runner.startTransaction()
            await runner.manager.insert(Item, { name: "crate" })
            fail()
            await runner.rollbackTransaction()
          }),
        ))
    })
  }

  for (const answer of [undefined, null, ""]) {
    it(`may return ${JSON.stringify(answer) ?? "undefined"}: the code then acts for no user`, async () => {
      const plugin = { currentUser: () => answer }
      await withMaintenance(database.current.url, { plugin }, async ({ dataSource, maintenance }) => {
        expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
        const error = await thrown(MaintenanceInputError, () => maintenance.enter("concurrent"))
        expect(error.message).to.equal(
          "The mode was not changed, because no user is known for this call. Pass `as`, call within runAs(), or set the option currentUser.",
        )
      })
    })
  }
})
