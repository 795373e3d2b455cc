import { expect } from "chai"
import {
  type EndedBecause,
  type EnterOptions,
  type Maintenance,
  type MaintenanceReport,
  maintenanceSchemaSql,
  WindowEndedError,
} from "../../src"
import { capitalized } from "../../src/refusal"
import { timeText } from "../../src/text"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { firstDraining } from "../support/draining"
import { errorOf } from "../support/error-of"
import { warning, warningsDuring } from "../support/warning"

const time = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`

const replaced =
  "the state was replaced from outside, for example by a restore, or by a failover to a server that lacked the last changes"

/** Resets the state to one without a window, as pg_restore --clean does. */
const restore = (url: string) =>
  withClient(url, (client) => client.query(`drop schema maintenance cascade; ${maintenanceSchemaSql()}`))

/** A way in which alice's window ends, and what its error says. */
interface Loss {
  readonly name: string
  readonly options?: EnterOptions
  readonly lose: (maintenance: Maintenance, url: string) => Promise<unknown>
  readonly says: string
  readonly because: EndedBecause
  /** The user who ended it. By default none. */
  readonly by?: string
}

const ended = (maintenance: Maintenance) =>
  new Promise<void>((resolve) => {
    const stop = maintenance.on("change", ({ mode }) => {
      if (mode !== "normal") return
      stop()
      resolve()
    })
  })

/** The status, retried while the watch reconnects because its registration is gone. */
const statusOf = async (maintenance: Maintenance): Promise<MaintenanceReport> =>
  maintenance.status().catch(() => statusOf(maintenance))

const loseByRestore: Loss["lose"] = async (maintenance, url) => {
  await restore(url)
  await statusOf(maintenance)
}

const losses: Loss[] = [
  {
    name: "has expired",
    because: "expired",
    options: { expiresInMs: 1000 },
    lose: ended,
    says: `it expired at ${time}\\. The mode is normal\\.`,
  },
  {
    name: "was left",
    because: "left",
    by: "break-glass",
    lose: (maintenance) => maintenance.leave({ as: "break-glass" }),
    says: `break-glass ended it at ${time}\\. The mode is normal\\.`,
  },
  {
    name: "was left, and is tied to the process",
    because: "left",
    by: "break-glass",
    options: { heldWhile: "alive" },
    lose: (maintenance) => maintenance.leave({ as: "break-glass" }),
    says: `break-glass ended it at ${time}\\. The mode is normal\\.`,
  },
  {
    name: "was tied to a process that is lost",
    because: "lost",
    options: { heldWhile: "alive" },
    lose: async (maintenance, url) => {
      const over = ended(maintenance)
      await withClient(url, (client) =>
        client.query(
          "with silent as (update maintenance.window set expires_at = clock_timestamp() where position <> 'over') " +
            "update maintenance.state set expires_at = clock_timestamp(); notify \"maintenance\", 'expiry'",
        ),
      )
      await statusOf(maintenance)
      await over
    },
    says: `it ended at ${time}, because its process gave no sign of life for 30000 ms\\. The mode is normal\\.`,
  },
  {
    name: "was taken over",
    because: "taken over",
    by: "break-glass",
    lose: (maintenance) => maintenance.enter("concurrent", { as: "break-glass", reason: "urgent" }),
    says: `break-glass took it over at ${time}\\. Concurrent maintenance by break-glass \\(urgent\\) since ${time} is now in force\\.`,
  },
  {
    name: "was handed over",
    because: "handed over",
    by: "alice",
    lose: (maintenance) => maintenance.transfer({ as: "alice", to: "bob" }),
    says: `alice handed it over to bob at ${time}\\. Concurrent maintenance by bob( \\(rebuild\\))? since ${time} is now in force\\.`,
  },
  {
    name: "was replaced by a restore",
    because: "replaced",
    lose: loseByRestore,
    says: `${replaced}\\. The mode is normal\\.`,
  },
]

describe("A window that has ended", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  afterEach(async () => {
    const { maintenance } = installed.current
    if ((await statusOf(maintenance)).mode !== "normal") await maintenance.leave({ as: "break-glass" })
  })
  const expectToSay = (
    error: unknown,
    says: string,
    { because, by }: { because: EndedBecause; by?: string | undefined },
  ) => {
    expect(error).to.be.instanceOf(WindowEndedError)
    const { message, endedBecause, endedBy, endedAt } = error as WindowEndedError
    expect(message).to.match(new RegExp(`^${says}$`))
    expect({ endedBecause, endedBy }).to.deep.equal({ endedBecause: because, endedBy: by })
    if (because === "replaced") expect(endedAt).to.equal(undefined)
    else expect(message).to.include(because === "switched" ? "" : timeText(endedAt as Date))
  }

  for (const { name, options, lose, says, because, by } of losses) {
    it(`rejects its task with the reason if it ${name}`, async () => {
      const { maintenance } = installed.current
      const task = maintenance.during("concurrent", { as: "alice", ...options }, () =>
        lose(maintenance, database.current.url),
      )
      const stored = " The changes that the task committed are stored\\."
      expectToSay(await errorOf(task), `The window ended before its task was done: ${says}${stored}`, {
        because,
        by,
      })
    })

    // An expired window is abandoned before. During a restore, the state cannot be read.
    if (options?.expiresInMs !== undefined || lose === loseByRestore) continue
    it(`rejects an enter() that still waits, with the reason, if it ${name}`, async () => {
      const { maintenance } = installed.current
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select 1")
        const told = firstDraining(maintenance)
        const drain = { withinMs: 2 ** 31 - 1, then: "abandon" } as const
        const error = errorOf(maintenance.enter("concurrent", { as: "alice", drain, ...options }))
        await told
        await lose(maintenance, database.current.url)
        expectToSay(await error, `The window ended before entering was complete: ${says}`, {
          because,
          by,
        })
      })
    })
  }

  for (const { name, options, lose, says } of losses) {
    it(`causes a process warning with the reason in the process that entered it, if it ${name}`, async () => {
      const { maintenance } = installed.current
      const warned = warning(/^The maintenance by alice \(rebuild\) is over: /)
      await maintenance.enter("concurrent", { as: "alice", reason: "rebuild", ...options })
      // By another DataSource, which stands for another process.
      const { url } = database.current
      await withMaintenance(url, {}, (other) => lose(other.maintenance, url))
      await statusOf(maintenance)
      expect(await warned).to.match(new RegExp(`^The maintenance by alice \\(rebuild\\) is over: ${says}$`))
    })
  }

  it("causes no warning if its own process left it, handed it over, or had extended it", async () => {
    const { maintenance } = installed.current
    const warnings = await warningsDuring(async () => {
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
    })
    expect(warnings).to.deep.equal([])
  })

  for (const [name, epoch, changes, is] of [
    ["the same window in an earlier state", "epoch = epoch - 1", "mode = 'concurrent'", "alice"],
    ["another window of the same epoch", "epoch = epoch", "maintainer = 'carol', since = now()", "carol"],
  ] as const) {
    it(`causes a warning that it was replaced from outside by ${name}`, async () => {
      const { maintenance } = installed.current
      const warned = warning(/^The maintenance by alice \(rebuild\) (is over|was replaced)/)
      await maintenance.enter("exclusive", { as: "alice", reason: "rebuild" })
      await database.current.sql(
        `with former as (update maintenance.window set id = '${is}', ${changes} where position = 'standing')
        update maintenance.state set window_id = '${is}', ${epoch}, ${changes}`,
      )
      const { mode } = await statusOf(maintenance)
      const what = is === "alice" ? "was replaced" : "is over"
      expect(await warned).to.match(
        new RegExp(
          `^The maintenance by alice \\(rebuild\\) ${what}: ${replaced}\\. ${capitalized(mode)} maintenance by ${is} \\(rebuild\\) since ${time} is now in force\\.$`,
        ),
      )
    })
  }

  it("rejects a waiting enter() with the new mode if its maintainer has switched it meanwhile", async () => {
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
        "The window ended before entering was complete: alice entered exclusive mode in the meantime\\. " +
          `Exclusive maintenance by alice since ${time} is now in force\\.`,
        { because: "switched", by: "alice" },
      )
    })
  })
})
