import { AsyncLocalStorage, AsyncResource } from "node:async_hooks"
import { EventEmitter, once } from "node:events"
import { expect } from "chai"
import { Query } from "pg"
import type { DataSource } from "typeorm"
import { AccessRefusedError, installMaintenance, WriteVetoedError } from "../../src"
import { withRunner } from "../doors/door"
import { newDataSource, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Item } from "../support/entities"
import { errorOf } from "../support/error-of"

/** The part of a pg client that direct users need. */
interface RawClient {
  query(text: string): Promise<unknown>
  query(query: Query): void
  query(text: string, callback: (error: unknown) => void): void
}

describe("The current user", () => {
  const database = useDatabase()
  const session = new AsyncLocalStorage<string>()
  const plugin = { currentUser: () => session.getStore() }
  const installed = useMaintenance(database, { plugin })
  before(() => installed.current.dataSource.synchronize())

  /** The user that the running code acts for, as the database sees it. Not usable while a window is open. */
  const actor = async () => {
    const { maintenance } = installed.current
    const { maintainer } = await maintenance.enter("concurrent")
    await maintenance.leave()
    return maintainer
  }
  const runAs = <T>(user: string, work: () => T) => installed.current.maintenance.runAs(user, work)

  describe("in runAs()", () => {
    it("is that of the innermost call, and afterwards that of the outer one", async () => {
      await runAs("alice", async () => {
        expect(await actor()).to.equal("alice")
        await runAs("bob", async () => {
          expect(await actor()).to.equal("bob")
          expect(await runAs("carol", actor)).to.equal("carol")
          expect(await actor()).to.equal("bob")
        })
        expect(await actor()).to.equal("alice")
      })
    })

    it("is that of the outer call again after the inner work has thrown", async () => {
      await runAs("alice", async () => {
        const failure = new Error("inner")
        const failed = await runAs("bob", () => Promise.reject(failure)).catch((error: unknown) => error)
        expect(failed).to.equal(failure)
        expect(await actor()).to.equal("alice")
      })
    })

    it("does not change the result or the error of synchronous work", () => {
      const failure = new Error("no")
      expect(runAs("alice", () => 42)).to.equal(42)
      expect(() =>
        runAs("alice", () => {
          throw failure
        }),
      ).to.throw(failure)
    })

    it("ends with the work, but persists in operations that the work has started", async () => {
      const gate = new EventEmitter()
      const started = runAs("alice", () => once(gate, "open").then(actor))
      expect(await session.run("dora", actor)).to.equal("dora")
      gate.emit("open")
      expect(await started).to.equal("alice")
    })

    const deferrals: Record<string, (work: () => void) => unknown> = {
      setTimeout: (work) => setTimeout(work, 0),
      setImmediate: (work) => setImmediate(work),
      "process.nextTick": (work) => process.nextTick(work),
      queueMicrotask: (work) => queueMicrotask(work),
      "a promise": (work) => Promise.resolve().then(work),
    }
    for (const [name, defer] of Object.entries(deferrals)) {
      it(`persists through ${name}`, async () => {
        const later = runAs("alice", () => new Promise((resolve) => defer(() => resolve(actor()))))
        expect(await later).to.equal("alice")
      })
    }

    it("is that of each caller in an application's queue that binds its jobs", async () => {
      const jobs: (() => Promise<unknown>)[] = []
      const enqueue = (user: string) => runAs(user, () => jobs.push(AsyncResource.bind(actor)))
      enqueue("alice")
      enqueue("bob")
      enqueue("alice")
      const seen: unknown[] = []
      await runAs("worker", async () => {
        for (const job of jobs) seen.push(await job())
      })
      expect(seen).to.deep.equal(["alice", "bob", "alice"])
    })

    it("is that of the worker in an application's queue that does not bind its jobs", async () => {
      const jobs: (() => Promise<unknown>)[] = []
      runAs("alice", () => jobs.push(actor))
      expect(await runAs("worker", () => Promise.all(jobs.map((job) => job())))).to.deep.equal(["worker"])
    })

    it("is that of the emitter in a listener, wherever it was registered", async () => {
      const bell = new EventEmitter()
      const heard = new Promise((resolve) => runAs("alice", () => bell.once("ring", () => resolve(actor()))))
      runAs("bob", () => bell.emit("ring"))
      expect(await heard).to.equal("bob")
    })

    it("is shared by all plugins of the process", async () => {
      await withMaintenance(database.current.url, {}, async ({ maintenance: another }) => {
        expect(await another.runAs("alice", actor)).to.equal("alice")
      })
    })
  })

  describe("from the option currentUser", () => {
    it("is used outside of runAs()", async () => {
      expect(await session.run("dora", actor)).to.equal("dora")
    })

    it("may be a number, which stands for its decimal digits", async () => {
      const users: [number | bigint, string][] = [
        [7, "7"],
        [0, "0"],
        [-1, "-1"],
        [Number.MAX_SAFE_INTEGER, "9007199254740991"],
        [2n ** 64n, "18446744073709551616"],
      ]
      let current: number | bigint | undefined
      const options = { plugin: { currentUser: () => current, emergencyUsers: ["0"] } }
      await withMaintenance(database.current.url, options, async ({ dataSource, maintenance }) => {
        for (const [user, name] of users) {
          current = user
          expect(await maintenance.enter("concurrent")).to.include({ maintainer: name })
          current = 8
          const save = () => dataSource.getRepository(Item).save({ name: `number ${name}` })
          expect(await errorOf(save())).to.be.instanceOf(WriteVetoedError)
          for (const allowed of [user, 0n]) {
            current = allowed
            await dataSource.getRepository(Item).delete((await save()).id)
          }
          await maintenance.leave()
        }
      })
    })

    it("is not requested within runAs()", async () => {
      let questions = 0
      const counting = {
        currentUser: () => {
          questions++
          return "dora"
        },
      }
      await withMaintenance(
        database.current.url,
        { plugin: counting },
        async ({ dataSource, maintenance }) => {
          await dataSource.query("select 1")
          expect(questions).to.be.greaterThan(0)
          questions = 0
          await maintenance.runAs("alice", async () => {
            await dataSource.query("select 1")
            await dataSource.transaction((manager) => manager.query("select 1"))
            expect(await maintenance.enter("concurrent")).to.include({ maintainer: "alice" })
            await maintenance.leave()
          })
          expect(questions).to.equal(0)
        },
      )
    })

    it("is overridden by the `as` option, like that of runAs()", async () => {
      const { maintenance } = installed.current
      const enter = () => maintenance.enter("concurrent", { as: "carol" })
      expect(await session.run("dora", () => runAs("alice", enter))).to.include({ maintainer: "carol" })
      expect(await runAs("alice", () => maintenance.leave({ as: "carol" }))).to.include({ mode: "normal" })
    })

    it("can be the maintainer without runAs()", async () => {
      const { dataSource, maintenance } = installed.current
      await session.run("dora", async () => {
        await maintenance.enter("exclusive")
        await dataSource.getRepository(Item).save({ name: "by the current user" })
        expect(await runAs("alice", refusal(dataSource))).to.be.instanceOf(AccessRefusedError)
        await maintenance.leave()
      })
      expect(await count(dataSource, "by the current user")).to.equal(1)
    })
  })

  describe("in concurrent contexts", () => {
    const contexts = 30
    const users = ["alice", "bob", undefined]

    it("does not leak between callers that wait for a pool", async () => {
      await withMaintenance(
        database.current.url,
        { plugin, poolSize: 2 },
        async ({ dataSource, maintenance }) => {
          await maintenance.enter("concurrent", { as: "alice" })
          const outcomes = await Promise.all(
            Array.from({ length: contexts }, (_, index) => {
              const user = users[index % users.length]
              const write = () => insert(dataSource, `mixed ${user} ${index}`)
              return outcome(user ? maintenance.runAs(user, write) : write())
            }),
          )
          await maintenance.leave({ as: "alice" })
          expect(outcomes).to.deep.equal(
            Array.from({ length: contexts / 3 }, () => [
              "stored",
              "WriteVetoedError",
              "WriteVetoedError",
            ]).flat(),
          )
          expect(await count(dataSource, "mixed alice%")).to.equal(10)
          expect(await count(dataSource, "mixed %")).to.equal(10)
        },
      )
    })

    it("does not leak between transactions that share one connection in turn", async () => {
      await withMaintenance(
        database.current.url,
        { plugin, poolSize: 1 },
        async ({ dataSource, maintenance }) => {
          await maintenance.enter("concurrent", { as: "alice" })
          const outcomes = await Promise.all(
            Array.from({ length: contexts }, (_, index) => {
              const user = users[index % users.length]
              const write = () =>
                dataSource.transaction(async (manager) => {
                  await manager.insert(Item, { name: `in turn ${user} ${index}` })
                })
              return outcome(user ? session.run(user, write) : write())
            }),
          )
          await maintenance.leave({ as: "alice" })
          expect(outcomes).to.deep.equal(
            Array.from({ length: contexts / 3 }, () => [
              "stored",
              "WriteVetoedError",
              "WriteVetoedError",
            ]).flat(),
          )
          expect(await count(dataSource, "in turn alice%")).to.equal(10)
          expect(await count(dataSource, "in turn %")).to.equal(10)
        },
      )
    })

    it("does not leak between concurrent statements on one query runner", async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      await withRunner(dataSource, async (runner) => {
        const outcomes = await Promise.all(
          ["alice", "bob", "alice", "bob"].map((user, index) =>
            outcome(
              runAs(user, () => runner.query(`insert into item (name) values ('shared ${user} ${index}')`)),
            ),
          ),
        )
        expect(outcomes).to.deep.equal(["stored", "WriteVetoedError", "stored", "WriteVetoedError"])
      })
      await maintenance.leave({ as: "alice" })
      expect(await count(dataSource, "shared alice%")).to.equal(2)
      expect(await count(dataSource, "shared %")).to.equal(2)
    })
  })

  describe("on a connection that another user has opened", () => {
    /**
     * Runs `work` as one user, on a pool whose connections another user has opened, while alice holds a
     * window.
     */
    const withPoolOf = (opener: string, reader: string, work: (dataSource: DataSource) => Promise<void>) =>
      runAs(opener, () =>
        withMaintenance(database.current.url, { poolSize: 2 }, async ({ dataSource, maintenance }) => {
          const use = () => withRunner(dataSource, (runner) => runner.query("select pg_sleep(0)"))
          await Promise.all([use(), use()])
          await maintenance.enter("concurrent", { as: "alice" })
          await maintenance.runAs(reader, () => work(dataSource))
          await maintenance.leave({ as: "alice" })
        }),
      )
    const pools = [
      { opener: "alice", reader: "bob", expected: "WriteVetoedError" },
      { opener: "bob", reader: "alice", expected: "stored" },
    ]

    for (const { opener, reader, expected } of pools) {
      const whose = `${reader} in a connection of ${opener}`

      it(`is ${whose}, in the listeners of a stream`, async () => {
        await withPoolOf(opener, reader, async (dataSource) => {
          const written = await withRunner(dataSource, async (runner) => {
            const stream = await runner.stream("select generate_series(1, 3)")
            const outcomes: Promise<string>[] = []
            stream.on("data", () =>
              outcomes.push(outcome(insert(dataSource, `on data ${whose} ${outcomes.length}`))),
            )
            await once(stream, "end")
            return Promise.all(outcomes)
          })
          expect(written).to.deep.equal([expected, expected, expected])
        })
      })

      it(`is ${whose}, in the loop over a stream`, async () => {
        await withPoolOf(opener, reader, async (dataSource) => {
          const written: string[] = []
          await withRunner(dataSource, async (runner) => {
            for await (const _row of await runner.stream("select generate_series(1, 3)")) {
              written.push(await outcome(insert(dataSource, `in a loop ${whose} ${written.length}`)))
            }
          })
          expect(written).to.deep.equal([expected, expected, expected])
        })
      })

      it(`is ${whose}, in the callback of a raw client`, async () => {
        await withPoolOf(opener, reader, async (dataSource) => {
          const written = await withRunner(dataSource, async (runner) => {
            const client = (await runner.connect()) as RawClient
            return new Promise((resolve) =>
              client.query("select 1", () => resolve(outcome(insert(dataSource, `in a callback ${whose}`)))),
            )
          })
          expect(written).to.equal(expected)
        })
      })

      it(`is ${whose}, in the listeners of a query object`, async () => {
        await withPoolOf(opener, reader, async (dataSource) => {
          const written = await withRunner(dataSource, async (runner) => {
            const client = (await runner.connect()) as RawClient
            return new Promise((resolve) => {
              const query = new Query("select 1")
              query.on("end", () => resolve(outcome(insert(dataSource, `on end ${whose}`))))
              client.query(query)
            })
          })
          expect(written).to.equal(expected)
        })
      })

      it(`is ${whose}, in the error listeners of a query object`, async () => {
        await withPoolOf(opener, reader, async (dataSource) => {
          const written = await withRunner(dataSource, async (runner) => {
            const client = (await runner.connect()) as RawClient
            return new Promise((resolve) => {
              const query = new Query("select 1 / 0")
              query.on("error", () => resolve(outcome(insert(dataSource, `on error ${whose}`))))
              client.query(query)
            })
          })
          expect(written).to.equal(expected)
        })
      })
    }

    it("is undefined in a change listener, even if the maintainer has initialized the DataSource", async () => {
      const { maintenance: elsewhere } = installed.current
      const dataSource = newDataSource(database.current.url)
      const maintenance = installMaintenance(dataSource)
      try {
        await runAs("alice", () => dataSource.initialize())
        const written = new Promise((resolve) => {
          const stop = maintenance.on("change", () => {
            stop()
            resolve(outcome(insert(dataSource, "on change")))
          })
        })
        await elsewhere.enter("concurrent", { as: "alice" })
        expect(await written).to.equal("WriteVetoedError")
        await elsewhere.leave({ as: "alice" })
        expect(await count(dataSource, "on change")).to.equal(0)
      } finally {
        await dataSource.destroy()
        await maintenance.uninstall()
      }
    })
  })

  describe("at commit", () => {
    const commits: Record<string, { begun: string; committed: string; expected: string }> = {
      "begun and committed by the maintainer": { begun: "alice", committed: "alice", expected: "stored" },
      "begun by another user, committed by the maintainer": {
        begun: "bob",
        committed: "alice",
        expected: "stored",
      },
      "begun by the maintainer, committed by another user": {
        begun: "alice",
        committed: "bob",
        expected: "WriteVetoedError",
      },
      "begun and committed by another user": { begun: "bob", committed: "bob", expected: "WriteVetoedError" },
    }
    for (const [name, { begun, committed, expected }] of Object.entries(commits)) {
      it(`decides: ${name}`, async () => {
        const { dataSource, maintenance } = installed.current
        await maintenance.enter("concurrent", { as: "alice" })
        await withRunner(dataSource, async (runner) => {
          await runAs(begun, async () => {
            await runner.startTransaction()
            await runner.manager.insert(Item, { name })
          })
          expect(await outcome(runAs(committed, () => runner.commitTransaction()))).to.equal(expected)
        })
        await maintenance.leave({ as: "alice" })
        expect(await count(dataSource, name)).to.equal(expected === "stored" ? 1 : 0)
      })

      it(`decides on a raw client: ${name}`, async () => {
        const { dataSource, maintenance } = installed.current
        await maintenance.enter("concurrent", { as: "alice" })
        await withRunner(dataSource, async (runner) => {
          const client = (await runner.connect()) as RawClient
          await runAs(begun, async () => {
            await client.query("BEGIN")
            await client.query(`insert into item (name) values ('raw, ${name}')`)
          })
          expect(await outcome(runAs(committed, () => client.query("COMMIT")))).to.equal(expected)
        })
        await maintenance.leave({ as: "alice" })
        expect(await count(dataSource, `raw, ${name}`)).to.equal(expected === "stored" ? 1 : 0)
      })
    }

    it("decides within dataSource.transaction, whichever user runs the statements", async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      const write = (inside: string, name: string) =>
        dataSource.transaction(async (manager) => {
          await runAs(inside, () => manager.insert(Item, { name }))
        })
      expect(await outcome(runAs("bob", () => write("alice", "inside by alice")))).to.equal(
        "WriteVetoedError",
      )
      expect(await outcome(runAs("alice", () => write("bob", "inside by bob")))).to.equal("stored")
      await maintenance.leave({ as: "alice" })
      expect(await count(dataSource, "inside by %")).to.equal(1)
    })

    it("decides with currentUser too: a user who logs out meanwhile is vetoed", async () => {
      let user: string | undefined = "alice"
      await withMaintenance(
        database.current.url,
        { plugin: { currentUser: () => user } },
        async ({ dataSource, maintenance }) => {
          await maintenance.enter("concurrent")
          const written = await outcome(
            dataSource.transaction(async (manager) => {
              await manager.insert(Item, { name: "logged out" })
              user = undefined
            }),
          )
          expect(written).to.equal("WriteVetoedError")
          await maintenance.leave({ as: "alice" })
          expect(await count(dataSource, "logged out")).to.equal(0)
        },
      )
    })
  })

  describe("as an emergency user", () => {
    for (const mode of ["concurrent", "exclusive"] as const) {
      it(`has the rights of the maintainer in ${mode} mode`, async () => {
        const { dataSource, maintenance } = installed.current
        await maintenance.enter(mode, { as: "alice" })
        await runAs("break-glass", async () => {
          await dataSource.getRepository(Item).save({ name: `emergency ${mode}` })
          await dataSource.transaction((manager) =>
            manager.insert(Item, { name: `emergency ${mode}, transaction` }),
          )
          expect(await count(dataSource, `emergency ${mode}%`)).to.equal(2)
        })
        await maintenance.leave({ as: "alice" })
        expect(await count(dataSource, `emergency ${mode}%`)).to.equal(2)
      })

      it(`has the rights of the maintainer in ${mode} mode through currentUser`, async () => {
        const { dataSource, maintenance } = installed.current
        await maintenance.enter(mode, { as: "alice" })
        const name = `emergency by currentUser ${mode}`
        expect(await session.run("break-glass", () => outcome(insert(dataSource, name)))).to.equal("stored")
        await maintenance.leave({ as: "alice" })
      })

      it(`can take over and end the window of another user in ${mode} mode`, async () => {
        const { maintenance } = installed.current
        const entered = await maintenance.enter(mode, { as: "alice", reason: "reindex" })
        const taken = await maintenance.enter("exclusive", { as: "break-glass", reason: "fire" })
        expect(taken).to.include({ mode: "exclusive", maintainer: "break-glass", reason: "fire" })
        expect(taken.since?.getTime()).to.be.at.least(entered.since?.getTime() ?? Infinity)
        expect(await maintenance.leave({ as: "break-glass" })).to.include({ mode: "normal" })
        await maintenance.enter(mode, { as: "alice" })
        expect(await runAs("break-glass", () => maintenance.leave())).to.include({ mode: "normal" })
      })
    }

    it("has no such rights in a DataSource that does not name the user", async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      await withMaintenance(database.current.url, { plugin: { emergencyUsers: [] } }, async (another) => {
        const name = "no emergency"
        const write = () => outcome(insert(another.dataSource, name))
        expect(await another.maintenance.runAs("break-glass", write)).to.equal("WriteVetoedError")
        expect(await count(another.dataSource, name)).to.equal(0)
      })
      await maintenance.leave({ as: "alice" })
    })

    it("must match the name exactly", async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      for (const user of ["Break-Glass", "break-glass ", "break"]) {
        expect(await runAs(user, () => outcome(insert(dataSource, user))), user).to.equal("WriteVetoedError")
      }
      await maintenance.leave({ as: "alice" })
    })
  })
})

/** The outcome of a write: "stored", or the class name of its refusal. */
async function outcome(write: Promise<unknown>): Promise<string> {
  try {
    await write
    return "stored"
  } catch (error) {
    if (error instanceof WriteVetoedError || error instanceof AccessRefusedError) return error.name
    throw error
  }
}

function insert(dataSource: DataSource, name: string): Promise<unknown> {
  return dataSource.query("insert into item (name) values ($1)", [name])
}

/** The error of a read. */
function refusal(dataSource: DataSource): () => Promise<unknown> {
  return () => dataSource.query("select 1").catch((error: unknown) => error)
}

/** The number of items with a matching name. */
async function count(dataSource: DataSource, name: string): Promise<number> {
  const [row] = await dataSource.query<{ count: number }[]>(
    "select count(*)::int as count from item where name like $1",
    [name],
  )
  return row?.count ?? 0
}
