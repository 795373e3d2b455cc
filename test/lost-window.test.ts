import { expect } from "chai"
import { type EnterOptions, type Maintenance, NotMaintainerError } from "../src"
import { type Installed, useMaintenance, withMaintenance } from "./support/data-source"
import { useDatabase, withClient } from "./support/database"
import { firstDraining } from "./support/draining"
import { errorOf } from "./support/error-of"
import { warning } from "./support/warning"

const iso = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`

/** What ends a window that alice holds, and what she is told of it. */
interface Loss {
  readonly name: string
  readonly options?: EnterOptions
  readonly lose: (maintenance: Maintenance) => Promise<unknown>
  readonly says: string
}

const ended = (maintenance: Maintenance) =>
  new Promise<void>((resolve) => {
    const stop = maintenance.on("change", ({ mode }) => {
      if (mode !== "normal") return
      stop()
      resolve()
    })
  })

const losses: Loss[] = [
  {
    name: "has expired",
    options: { expiresInMs: 1000 },
    lose: ended,
    says: `it expired at ${iso}\\. The mode is normal\\.`,
  },
  {
    name: "was left",
    lose: (maintenance) => maintenance.leave({ as: "break-glass" }),
    says: "it was ended by leave\\(\\)\\. The mode is normal\\.",
  },
  {
    name: "was left, and was tied to the process",
    options: { heldWhile: "alive" },
    lose: (maintenance) => maintenance.leave({ as: "break-glass" }),
    says: "it was ended, or it ended because nothing was heard of this process for 30000 ms\\. The mode is normal\\.",
  },
  {
    name: "was taken over",
    lose: (maintenance) => maintenance.enter("concurrent", { as: "break-glass", reason: "urgent" }),
    says: `it was ended or taken over\\. Now it is concurrent maintenance since ${iso} by break-glass \\(urgent\\)\\.`,
  },
  {
    name: "was handed over",
    lose: (maintenance) => maintenance.transfer({ as: "alice", to: "bob" }),
    says: `it was handed over to bob\\. Now it is concurrent maintenance since ${iso} by bob( \\(rebuild\\))?\\.`,
  },
]

describe("A window that is gone", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  afterEach(async () => {
    const { maintenance } = installed.current
    if ((await maintenance.status()).mode !== "normal") await maintenance.leave({ as: "break-glass" })
  })
  const expectToSay = (error: unknown, says: string) => {
    expect(error).to.be.instanceOf(NotMaintainerError)
    expect((error as Error).message).to.match(new RegExp(`^${says}$`))
  }

  for (const { name, options, lose, says } of losses) {
    it(`is said to be, and why, to the task that it was for, if it ${name}`, async () => {
      const { maintenance } = installed.current
      const task = maintenance.during("concurrent", { as: "alice", ...options }, () => lose(maintenance))
      const stored = " What the task has committed is stored\\."
      expectToSay(await errorOf(task), `The maintenance was over before its task was done: ${says}${stored}`)
    })

    // That is abandoned before.
    if (options?.expiresInMs !== undefined) continue
    it(`is said to be, and why, to who is entering it still, if it ${name}`, async () => {
      const { maintenance } = installed.current
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select 1")
        const told = firstDraining(maintenance)
        const drain = { withinMs: 2 ** 31 - 1, then: "abandon" } as const
        const error = errorOf(maintenance.enter("concurrent", { as: "alice", drain, ...options }))
        await told
        await lose(maintenance)
        expectToSay(await error, `The maintenance was over before it was entered to its end: ${says}`)
      })
    })
  }

  for (const { name, options, lose, says } of losses) {
    it(`is said to be, and why, in a process warning to who has entered it, if it ${name}`, async () => {
      const { maintenance } = installed.current
      const warned = warning(/^The maintenance by alice \(rebuild\) is over: /)
      await maintenance.enter("concurrent", { as: "alice", reason: "rebuild", ...options })
      // By another process, as it were.
      await withMaintenance(database.current.url, {}, (other) => lose(other.maintenance))
      const isTakenOver = (await maintenance.status()).maintainer === "break-glass"
      const leave = ({ maintenance: other }: Installed) => other.leave({ as: "break-glass" })
      if (isTakenOver) await withMaintenance(database.current.url, {}, leave)
      const over = isTakenOver ? "it was ended by leave\\(\\)\\. The mode is normal\\." : says
      expect(await warned).to.match(new RegExp(`^The maintenance by alice \\(rebuild\\) is over: ${over}$`))
    })
  }

  it("is not said to be to who has left it himself, or handed it over, or extended it before", async () => {
    const { maintenance } = installed.current
    const warnings: string[] = []
    const listen = ({ message }: Error) => void warnings.push(message)
    process.on("warning", listen)
    await maintenance.enter("concurrent", { as: "alice", expiresInMs: 1000 })
    await maintenance.extend({ as: "alice", expiresInMs: 60_000 })
    await maintenance.enter("exclusive", { as: "alice" })
    await maintenance.during("concurrent", { as: "alice" }, () => undefined)
    await maintenance.during("concurrent", { as: "break-glass" }, () => undefined)
    await maintenance.leave({ as: "alice" })
    await maintenance.during("concurrent", { as: "alice" }, () => maintenance.enter("exclusive"))
    await maintenance.enter("concurrent", { as: "alice" })
    await maintenance.transfer({ as: "alice", to: "bob" })
    await maintenance.leave({ as: "bob" })
    await new Promise(setImmediate)
    process.removeListener("warning", listen)
    expect(warnings).to.deep.equal([])
  })

  it("is said to have another mode by now, if its maintainer has entered that meanwhile", async () => {
    const { maintenance } = installed.current
    await withClient(database.current.url, async (client) => {
      await client.query("begin; select 1")
      const told = firstDraining(maintenance)
      const drain = { withinMs: 2 ** 31 - 1, then: "abandon" } as const
      const error = errorOf(maintenance.enter("concurrent", { as: "alice", drain }))
      await told
      await maintenance.enter("exclusive", { as: "alice", drain: { withinMs: 0, then: "proceed" } })
      expectToSay(
        await error,
        "The maintenance was over before it was entered to its end: alice has entered exclusive mode meanwhile\\. " +
          `Now it is exclusive maintenance since ${iso} by alice\\.`,
      )
    })
  })
})
