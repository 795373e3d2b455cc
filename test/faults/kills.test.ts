import { expect } from "chai"
import type { MaintenanceReport, Mode } from "../../src"
import { withoutWaiting } from "../race/broken-variants"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import type { Hold, Step } from "../support/hold"
import { ledgerSql, post, posted, postSql } from "../support/ledger"
import type { Action } from "../support/member"
import { nothingStray, stray } from "../support/pool"
import { type ProxiedMember, Reserve } from "../support/proxied-member"
import { endWindow, notWaiting, windowOf } from "../support/window"
import { statusThat, until } from "../support/until"

/** A state that may be found, with the number of changes since the previous one. */
interface Found {
  readonly mode: Mode
  readonly maintainer?: string
  readonly changes: number
  readonly expires?: true
}

/** A change of the mode by alice. */
interface Change {
  readonly action: Action
  /** Whether alice holds a window before it. */
  readonly isHers?: boolean
  /** Whether another user has an open transaction. */
  readonly isBlocked?: boolean
  /**
   * Whether each step is also tried with the request delivered and the answer lost. For the server, that
   * equals the state before the next step.
   */
  readonly isTriedTwice?: boolean
  /** Whether the window belongs to a process, which has to end it. */
  readonly isTask?: boolean
  readonly outcome?: string
  /** All states that may be found afterwards, depending on the step. */
  readonly found: readonly Found[]
}

const as = "alice"
const normal = { mode: "normal", changes: 0 } as const
const hers = { mode: "concurrent", maintainer: as, changes: 0 } as const
const entered = { ...hers, changes: 1 } as const

const changes: Record<string, Change> = {
  "enters a mode": { action: { enter: "concurrent", options: { as } }, found: [normal, entered] },
  "switches the mode": {
    action: { enter: "exclusive", options: { as } },
    isHers: true,
    found: [hers, { ...entered, mode: "exclusive" }],
  },
  "enters a mode, and terminates blockers": {
    action: { enter: "exclusive", options: { as, drain: { withinMs: 0, then: "terminate" } } },
    isBlocked: true,
    found: [normal, { ...entered, mode: "exclusive" }],
  },
  "enters a mode, and abandons it": {
    action: { enter: "exclusive", options: { as, drain: { withinMs: 0, then: "abandon" } } },
    isBlocked: true,
    outcome: "DrainTimeoutError",
    found: [normal, { ...entered, mode: "exclusive" }, { ...normal, changes: 2 }],
  },
  "leaves a mode": {
    action: { leave: { as } },
    isHers: true,
    isTriedTwice: true,
    found: [hers, { ...normal, changes: 1 }],
  },
  "extends a window": {
    action: { extend: { as, expiresInMs: 2 ** 31 - 1 } },
    isHers: true,
    found: [hers, { ...hers, expires: true }],
  },
  "hands a window over": {
    action: { transfer: { as, to: "bob" } },
    isHers: true,
    found: [hers, { ...entered, maintainer: "bob" }],
  },
  "runs a task": {
    action: { during: "concurrent", options: { as }, sql: "select 1" },
    isTask: true,
    found: [normal, entered, { ...normal, changes: 2 }],
  },
}

/** The outcome of other users' writes, by mode. */
const outcomes = { normal: "done", concurrent: "WriteVetoedError", exclusive: "AccessRefusedError" } as const

/** A write, with the statements sent before its interruption. */
interface Write {
  readonly step: Step
  readonly before?: readonly string[]
  readonly sql: string
}

const commit: Write = { step: "message", before: ["begin", postSql], sql: "commit" }
const writes: Record<string, Write> = {
  "a statement": { step: "message", sql: postSql },
  "a transaction": commit,
  "a procedure that commits": { step: "request", sql: "call post('x')" },
}

describe("kill -9 of a process at every step towards the server", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  const reserve = new Reserve(() => database.current.url)
  before(async () => {
    await database.current.sql(ledgerSql)
    database.current.beforeDrop(() => reserve.empty())
  })
  afterEach(async () => {
    await reserve.clear()
    await endWindow(installed.current.maintenance)
  })

  /** Runs while a client without the plugin has an open transaction that has written. */
  const whileBlocked = (work: () => Promise<void>): Promise<void> =>
    withClient(database.current.url, async (client) => {
      client.on("error", () => undefined)
      await client.query(`begin; ${postSql}`)
      await work()
    })

  /** Runs an action of a member up to a step. Resolves with false if it finished before that. */
  const isReached = async (
    { member }: ProxiedMember,
    action: Action,
    { hold, outcome = "done" }: { hold: Hold; outcome?: string | undefined },
  ): Promise<boolean> => {
    const done = member.act(action)
    done.catch(() => undefined)
    const came = await Promise.race([done, hold.reached])
    if (came === undefined) return true
    hold.pass()
    expect(came).to.equal(outcome)
    return false
  }

  /** A process that knows the mode. leave() does not wait for that. */
  const nextOne = async (): Promise<ProxiedMember> => {
    const one = await reserve.next()
    const { maintenance } = installed.current
    const isKnown = ({ epoch, instances }: MaintenanceReport) =>
      instances.every((each) => each.epoch === epoch)
    await until(async () => isKnown(await maintenance.status()))
    return one
  }

  const assertWorks = async (report: MaintenanceReport): Promise<void> => {
    const { dataSource, maintenance } = installed.current
    const rows = await posted(database.current)
    expect(await post(dataSource)).to.equal(outcomes[report.mode])
    expect(await posted(database.current)).to.equal(rows + (report.mode === "normal" ? 1 : 0))
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
    for (const who of [report.maintainer ?? as, "break-glass"]) {
      const { unacknowledged } = await maintenance.enter("exclusive", { as: who })
      expect(unacknowledged).to.deep.equal([])
      expect(await maintenance.status()).to.include({
        state: "exclusive",
        maintainer: who,
        isInterrupted: false,
      })
      expect(await post(dataSource)).to.equal(outcomes.exclusive)
    }
    await maintenance.leave({ as: "break-glass" })
    expect(await post(dataSource)).to.equal("done")
  }

  for (const [name, change] of Object.entries(changes)) {
    const { action, isHers, isBlocked, isTriedTwice, isTask, outcome, found } = change
    it(`leaves the state before or after if the process ${name}, and others continue`, async () => {
      const { maintenance } = installed.current
      const seen = new Set<Found>()
      let isDone = false
      for (let step = 1; !isDone; step++) {
        for (const arrives of isTriedTwice ? [false, true] : [false]) {
          const one = await nextOne()
          const before = isHers
            ? await maintenance.enter("concurrent", { as, reason: "rebuild" })
            : await maintenance.status()
          const hold = one.proxy.holdAt(step, "request")
          const run = async () => {
            isDone = !(await isReached(one, action, { hold, outcome }))
            if (arrives) hold.pass()
            await one.kill()
          }
          await (isBlocked ? whileBlocked(run) : run())

          const report = await maintenance.status()
          const what = found.find(
            ({ mode, maintainer, changes: count, expires }) =>
              report.mode === mode &&
              report.maintainer === maintainer &&
              report.epoch === before.epoch + count &&
              (report.expiresAt !== undefined) === (expires ?? false),
          )
          expect(what, `${JSON.stringify(report)} at step ${step}`).not.to.equal(undefined)
          seen.add(what as Found)
          if (what === found[0]) expect(windowOf(report)).to.deep.equal(windowOf(before))
          const hasArrived = (call: string) => hold.arrived.some((bytes) => bytes.includes(`${call}(`))
          const isInterrupted =
            hasArrived("start_entering") && (isTask || !hasArrived("end_entering")) && what?.changes === 1
          expect(report).to.include({ state: report.mode, isInterrupted })
          await assertWorks(report)
        }
      }
      expect([...seen]).to.have.members([...found])
    })
  }

  /**
   * Kills a writer at every step while a window is entered. Resolves with the rows that were stored once it
   * was entered.
   */
  const leaks = async ({ step: counted, before = [], sql }: Write): Promise<string[]> => {
    const { maintenance } = installed.current
    const leaked: string[] = []
    let isDone = false
    for (let step = 1; !isDone && leaked.length === 0; step++) {
      const one = await nextOne()
      expect(await one.member.act({ sql: before })).to.equal("done")
      const hold = one.proxy.holdAt(step, counted)
      isDone = !(await isReached(one, { sql: [sql] }, { hold }))
      const entering = maintenance
        .enter("concurrent", { as, drain: notWaiting })
        .then(() => posted(database.current))
      let report = await statusThat(maintenance, ({ mode }) => mode !== "normal")
      const holders = await database.current.sql("select maintenance.holders($1)", [report.epoch])
      if (holders.length === 0) await entering
      // At every other step the request is delivered, and only the answer is lost.
      if (step % 2 === 0) hold.pass()
      await one.kill()
      const rows = await entering
      const rowsLater = await posted(database.current)
      if (rowsLater !== rows) leaked.push(`${rowsLater - rows} at step ${step}`)
      report = await maintenance.status()
      expect(report).to.include({ mode: "concurrent", isInterrupted: false })
      await assertWorks(report)
    }
    return leaked
  }

  for (const [name, write] of Object.entries(writes)) {
    it(`stores a write by ${name} entirely or not at all, and never once a window is entered`, async () => {
      expect(await leaks(write)).to.deep.equal([])
    })
  }

  it("is detected to leak if enter() does not wait for those who hold the gate", async () => {
    const restore = await withoutWaiting(database.current)
    try {
      expect(await leaks(commit)).not.to.deep.equal([])
    } finally {
      await restore()
    }
  })
})
