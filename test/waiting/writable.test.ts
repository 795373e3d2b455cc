import { expect } from "chai"
import { AccessRefusedError, MaintenanceInputError, StateUnavailableError, WriteVetoedError } from "../../src"
import { timeText } from "../../src/text"
import { type Installed, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { Proxy } from "../support/proxy"
import { warning } from "../support/warning"
import { endWindowAfterEach } from "../support/window"

describe("The permission to write", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)
  /** Resolves with the mode at the time at which writes are allowed. */
  const modeWhenWritable = async () => {
    const { maintenance } = installed.current
    await maintenance.whenWritable()
    return (await maintenance.status()).mode
  }

  it("can be asserted before an effect outside of the database", async () => {
    const { maintenance } = installed.current
    const assertWritable = () => maintenance.assertWritable()
    await assertWritable()
    await maintenance.enter("concurrent", { as: "alice" })
    let told: unknown
    const stop = maintenance.on("refused", (error) => (told = error))
    const veto = await errorOf(assertWritable())
    stop()
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect(told).to.equal(veto)
    await maintenance.runAs("alice", assertWritable)
    await maintenance.enter("exclusive", { as: "alice" })
    expect(await errorOf(assertWritable())).to.be.instanceOf(AccessRefusedError)
    await maintenance.runAs("break-glass", assertWritable)
  })

  it("can be queried as a boolean, without counting as a refusal", async () => {
    const { maintenance } = installed.current
    expect(await maintenance.isWritable()).to.equal(true)
    for (const mode of ["concurrent", "exclusive"] as const) {
      await maintenance.enter(mode, { as: "alice" })
      const refused: unknown[] = []
      const stop = maintenance.on("refused", (error) => refused.push(error))
      expect(await maintenance.isWritable()).to.equal(false)
      stop()
      expect(refused).to.deep.equal([])
      expect(await maintenance.runAs("alice", () => maintenance.isWritable())).to.equal(true)
      expect(await maintenance.runAs("break-glass", () => maintenance.isWritable())).to.equal(true)
    }
    await maintenance.leave({ as: "alice" })
    expect(await maintenance.isWritable()).to.equal(true)
  })

  it("can be awaited by a hundred calls at once, and is immediate for the maintainer", async () => {
    const { maintenance } = installed.current
    expect(await modeWhenWritable()).to.equal("normal")
    await maintenance.enter("exclusive", { as: "alice" })
    await maintenance.runAs("alice", () => maintenance.whenWritable())
    const waiting = Array.from({ length: 100 }, modeWhenWritable)
    await maintenance.enter("concurrent", { as: "alice" })
    await maintenance.leave({ as: "alice" })
    expect(new Set(await Promise.all(waiting))).to.deep.equal(new Set(["normal"]))
  })

  it("can be awaited without a refusal, except after the time limit", async () => {
    const { maintenance } = installed.current
    const told: unknown[] = []
    const stop = maintenance.on("refused", (error) => told.push(error))
    await maintenance.enter("concurrent", { as: "alice" })
    const waiting = maintenance.whenWritable()
    await maintenance.enter("exclusive", { as: "alice" })
    const refusal = await errorOf(maintenance.whenWritable({ timeoutMs: 0 }))
    await maintenance.leave({ as: "alice" })
    await waiting
    stop()
    expect(told).to.deep.equal([refusal])
  })

  it("is awaited no longer than the given time limit or signal allows", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    for (const timeoutMs of [0, 20]) {
      expect(await errorOf(maintenance.whenWritable({ timeoutMs }))).to.be.instanceOf(WriteVetoedError)
    }
    const reason = new Error("shutting down")
    const controller = new AbortController()
    const waiting = errorOf(maintenance.whenWritable({ signal: controller.signal }))
    controller.abort(reason)
    expect(await waiting).to.equal(reason)
    expect(await errorOf(maintenance.whenWritable({ signal: controller.signal }))).to.equal(reason)
  })

  it("is denied with the restriction and the time waited, because nothing was tried", async () => {
    const { maintenance } = installed.current
    const told = [
      ["concurrent", "other users may only read"],
      ["exclusive", "only the maintainer gets a connection"],
    ] as const
    for (const [mode, others] of told) {
      const { since } = await maintenance.enter(mode, { as: "alice", reason: "rebuild" })
      const window = `Writes refused: the system has been in ${mode} maintenance by alice (rebuild) since ${timeText(since as Date)}; ${others}.`
      const [asked, waited] = [maintenance.assertWritable(), maintenance.whenWritable({ timeoutMs: 20 })]
      expect(await errorOf(asked)).to.have.property(
        "detailedMessage",
        `${window} Try again when the maintenance is over.`,
      )
      expect(await errorOf(waited)).to.have.property(
        "detailedMessage",
        `${window} The call waited 20 ms (timeoutMs). Try again when the maintenance is over.`,
      )
    }
  })

  it("causes one process warning per window while calls wait for it", async () => {
    const { maintenance } = installed.current
    const warned = warning(/whenWritable/)
    const { since } = await maintenance.enter("exclusive", { as: "alice", reason: "rebuild" })
    const waiting = [maintenance.whenWritable(), maintenance.whenWritable()]
    expect(await warned).to.equal(
      `2 calls wait for the end of the exclusive maintenance by alice (rebuild) since ${timeText(since as Date)} (whenWritable()).`,
    )
    await maintenance.leave({ as: "alice" })
    await Promise.all(waiting)
  })

  it("causes a process warning while calls wait and others have locked the state", async () => {
    const { maintenance } = installed.current
    await withClient(database.current.url, async (client) => {
      await client.query("begin; lock table maintenance.state in access exclusive mode")
      const warned = warning(/whenWritable/)
      const waiting = maintenance.whenWritable()
      expect(await warned).to.equal(
        "1 call waits in whenWritable(), but other sessions have locked the state " +
          "(error: canceling statement due to lock timeout).",
      )
      await client.query("rollback")
      await waiting
    })
  })

  it("is no longer awaited once the DataSource is destroyed or the plugin uninstalled", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
    const stops = [
      ({ dataSource }: Installed) => dataSource.destroy(),
      ({ maintenance }: Installed) => maintenance.uninstall(),
    ]
    for (const stop of stops) {
      await withMaintenance(database.current.url, {}, async (other) => {
        const waiting = errorOf(other.maintenance.whenWritable())
        // This call comes second on the same connection.
        await other.maintenance.status()
        await stop(other)
        const error = await Promise.race([waiting, new Promise(setImmediate)])
        expect(error).to.be.instanceOf(StateUnavailableError)
        expect((error as Error).message).to.include("while this call was waiting for permission to write")
      })
    }
  })

  describe("over a failing network", () => {
    const withNetwork = async (work: (networked: Installed & { proxy: Proxy }) => Promise<void>) => {
      const proxy = await Proxy.start(database.current.url)
      try {
        await withMaintenance(proxy.url, {}, (one) => work({ ...one, proxy }))
      } finally {
        await proxy.stop()
      }
    }

    it("is awaited until the network is back", async () => {
      await withNetwork(async ({ proxy, maintenance }) => {
        await installed.current.maintenance.enter("concurrent", { as: "alice" })
        const hold = proxy.holdAt(1, "request")
        const waiting = maintenance.whenWritable()
        await hold.reached
        proxy.refuse(true)
        await proxy.cutAll()
        hold.pass()
        const inVain = await errorOf(maintenance.whenWritable({ timeoutMs: 20 }))
        expect(inVain).to.be.instanceOf(StateUnavailableError)
        proxy.refuse(false)
        await installed.current.maintenance.leave({ as: "alice" })
        await waiting
      })
    })

    it("is awaited no longer than requested, even if nothing answers", async () => {
      await withNetwork(async ({ proxy, maintenance }) => {
        proxy.freeze()
        const controller = new AbortController()
        const reason = new Error("shutting down")
        const broken = errorOf(maintenance.whenWritable({ signal: controller.signal }))
        const error = await errorOf(maintenance.whenWritable({ timeoutMs: 20 }))
        expect(error).to.be.instanceOf(StateUnavailableError)
        expect((error as Error).message).to.equal(
          "Could not determine whether the current user may write: the database cannot be reached (Error: it has not answered for 1000 ms). " +
            "The call waited for 20 ms (timeoutMs). Retry later.",
        )
        controller.abort(reason)
        expect(await broken).to.equal(reason)
        proxy.thaw()
      })
    })
  })

  describe("requested by many calls at once", () => {
    /** Counts the queries for the state, and delays the answer of each. */
    const withCount = async (
      answerAfterMs: number,
      work: (asked: () => Promise<number>) => Promise<void>,
    ) => {
      const { current } = database
      const [{ result } = { result: "" }] = await current.sql<{ result: string }>(
        "select pg_get_function_result('maintenance.read_state(boolean)'::regprocedure) as result",
      )
      await current.sql(`
        create sequence maintenance.asked;
        alter function maintenance.read_state(boolean) rename to original_read_state;
        create function maintenance.read_state(with_open boolean) returns ${result} language sql security definer as
          'select nextval(''maintenance.asked''), pg_sleep(${answerAfterMs / 1000}); select * from maintenance.original_read_state(with_open)'`)
      try {
        await work(async () => {
          const [row] = await current.sql<{ asked: number }>(
            "select case when is_called then last_value else 0 end::integer as asked from maintenance.asked",
          )
          return row?.asked as number
        })
      } finally {
        await current.sql(`
          drop function maintenance.read_state(boolean);
          alter function maintenance.original_read_state(boolean) rename to read_state;
          drop sequence maintenance.asked`)
      }
    }
    /** The call once for each of several users. */
    const forUsers = <T>(count: number, call: () => Promise<T>) =>
      Array.from({ length: count }, (_, number) =>
        installed.current.maintenance.runAs(`user ${number}`, call),
      )

    it("is queried once for all earlier calls", async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      await withCount(0, async (asked) => {
        const asking = forUsers(200, () => errorOf(maintenance.assertWritable()))
        const waiting = forUsers(200, () => maintenance.whenWritable())
        const [alice] = forUsers(1, () => maintenance.runAs("alice", () => maintenance.whenWritable()))
        for (const error of await Promise.all(asking)) expect(error).to.be.instanceOf(WriteVetoedError)
        await alice
        // One query was in flight when the others arrived, which share the next one. The watch adds
        // occasional reads.
        expect(await asked()).to.be.within(2, 4)
        await maintenance.leave({ as: "alice" })
        await Promise.all(waiting)
      })
    })

    it("does not delay renewals of a window that is tied to the process, nor its end", async () => {
      const { maintenance } = installed.current
      const terms = { as: "alice", heldWhile: "alive", graceMs: 1000 } as const
      await maintenance.enter("concurrent", terms)
      await withCount(5, async () => {
        const asking = forUsers(1000, () => errorOf(maintenance.assertWritable()))
        const waiting = forUsers(1000, () => maintenance.whenWritable())
        for (const error of await Promise.all(asking)) expect(error).to.be.instanceOf(WriteVetoedError)
        expect((await maintenance.leave({ as: "alice" })).mode).to.equal("normal")
        await Promise.all(waiting)
      })
    })
  })

  it("requires valid options", async () => {
    const { maintenance } = installed.current
    for (const options of [{ timeoutMs: -1 }, { timeout: 5 }, { signal: "x" }, 5]) {
      expect(await errorOf(maintenance.whenWritable(options as never))).to.be.instanceOf(
        MaintenanceInputError,
      )
    }
  })
})
