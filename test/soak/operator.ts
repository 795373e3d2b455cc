import { setTimeout as pause } from "node:timers/promises"
import type { DataSource } from "typeorm"
import {
  AccessRefusedError,
  type AnnounceOptions,
  type EnterOptions,
  installMaintenance,
  MaintenanceError,
  type Maintenance,
  type Mode,
  WriteVetoedError,
} from "../../src"
import { newDataSource } from "../support/data-source"
import type { Dice } from "./dice"
import { emergencyUser, Entry, Shelf } from "./ledger"
import { type Ended, moment, tell } from "./messages"
import { outcomeOf } from "./outcome"
import { Witness } from "./witness"
import { opened } from "./worker-life"

/** A mode that can be entered. */
export type Window = Exclude<Mode, "normal">

/** Facts about a call, besides its outcome. */
type Facts = Partial<Pick<Ended["ended"], "abortedAt" | "graceMs">> & {
  hasEntered?: boolean
  /** Time at which it resolved, without the look that follows. */
  resolvedAt?: number
}

/** The state in the database, and the commits visible then. */
interface Look {
  readonly snapshot: string
  readonly epoch: number
  readonly mode: Mode
  readonly maintainer: string | null
  readonly reason: string | null
  readonly since: Date | null
}

const auditWithinMs = 10_000
/** Maximum time that any window may stand before an operator ends it, in milliseconds. */
const longestWindowMs = 15_000

const lookSql = `
  select pg_current_snapshot()::text as snapshot, s.epoch, n.mode, n.maintainer, n.reason, n.since
  from maintenance.state s, maintenance.as_of_now(s) n`

/** Makes the calls of one maintainer, and reports the beginning and the outcome of each. */
export class Operator {
  readonly user: string
  readonly dice: Dice
  readonly #name: string
  readonly #dataSource: DataSource
  readonly #maintenance: Maintenance
  readonly #witness: Witness
  /** The window that was entered last, except by `during()`. */
  #window: { maintainer: string; reason: string } | undefined
  /** The calls that have announced a window, which other processes may enter. */
  readonly #announced = new Set<string>()
  /** The last ended call that the state still reported as entering. */
  #leftEntering = ""
  #operations = 0
  #audits = 0
  #auditEnded: () => void = () => undefined

  constructor(name: string, { url, direct, dice }: { url: string; direct: string; dice: Dice }) {
    this.#name = name
    this.user = name.split(" ")[0] as string
    this.dice = dice
    this.#dataSource = newDataSource(url, { entities: [Entry, Shelf], poolSize: 2, logging: false })
    this.#maintenance = installMaintenance(this.#dataSource, { emergencyUsers: [emergencyUser] })
    this.#witness = new Witness(direct)
  }

  open(): Promise<void> {
    return opened(this.#dataSource)
  }

  /** Ends any standing window, and closes everything. */
  async close(): Promise<void> {
    if ((await this.status()) !== "normal") await this.leave(emergencyUser)
    await this.#call("destroy", () => this.#dataSource.destroy())
    await this.#call("uninstall", () => this.#maintenance.uninstall())
    await this.#witness.close()
  }

  /** Enters a window. Resolves with whether that succeeded. The window is then watched for leaks. */
  async enter(mode: Window, options: EnterOptions = {}, facts: Facts = {}): Promise<boolean> {
    const as = options.as ?? this.user
    return this.#call(
      `enter("${mode}")`,
      async (reason) => {
        if (options.startsInMs !== undefined) this.#announced.add(reason)
        const entered = await this.#maintenance.enter(mode, { as, reason, ...options })
        facts.resolvedAt = Date.now()
        await this.#stands((this.#window = { maintainer: as, reason }))
        return entered
      },
      facts,
    )
  }

  /**
   * Announces a window, which any process may begin. Kills this process afterwards if that is its last act.
   */
  async announce(mode: Window, options: AnnounceOptions, isLastAct: boolean): Promise<boolean> {
    return this.#call("announce", async (operation) => {
      const reason = `announcement ${operation}`
      const { id } = await this.#maintenance.announce(mode, { as: this.user, reason, ...options })
      if (!isLastAct) return tell({ announced: { id, isLastAct } })
      tell({ announced: { id, isLastAct } }, () => process.kill(process.pid, "SIGKILL"))
      return new Promise(() => undefined)
    })
  }

  /**
   * Runs work in `during()`. Its window is watched for leaks, and so is the surrounding one afterwards, if
   * there is one.
   */
  async during(mode: Window, options: EnterOptions, work: () => Promise<void>): Promise<boolean> {
    const maintainer = options.as ?? this.user
    const facts: Facts = {}
    const run = (reason: string) =>
      this.#maintenance.during(mode, { as: maintainer, reason, ...options }, async () => {
        facts.hasEntered = true
        await this.#stands({ maintainer, reason })
        await work()
      })
    const isDone = await this.#call(`during("${mode}")`, run, facts)
    if (isDone && this.#window) await this.#stands(this.#window)
    return isDone
  }

  leave(as = this.user): Promise<boolean> {
    this.#window = undefined
    return this.#call("leave", () => this.#maintenance.leave({ as }))
  }

  extend(expiresInMs: number | undefined): Promise<boolean> {
    return this.#call("extend", () => this.#maintenance.extend({ as: this.user, expiresInMs }))
  }

  /** Hands the window to another user. It is then watched for leaks of this user. */
  async transfer(to: string): Promise<boolean> {
    const isDone = await this.#call("transfer", () => this.#maintenance.transfer({ as: this.user, to }))
    if (isDone && this.#window) await this.#stands((this.#window = { ...this.#window, maintainer: to }))
    return isDone
  }

  /** Reads the status through the plugin, and reports it. */
  async status(): Promise<Mode | undefined> {
    let mode: Mode | undefined
    await this.#call("status", async () => {
      const { epoch, mode: found, maintainer, state, reason = "" } = await this.#maintenance.status()
      mode = found
      tell({ told: { epoch, mode: found, maintainer } })
      // This process has no other call under way.
      if (state === "entering" && reason.startsWith(`${this.#name} `) && !this.#isKnown(reason)) {
        this.#leftEntering = reason
        this.#failed("status() says that a mode is being entered, and enter() has ended", reason)
      }
    })
    return mode
  }

  /** Holds the window for a while, writes as its maintainer, and requests an audit at the end. */
  async hold(lowMs: number, highMs: number, as = this.user): Promise<void> {
    const untilMs = moment() + this.dice.between(lowMs, highMs)
    do {
      await pause(this.dice.between(50, 400))
      await this.#writeAs(as)
    } while (moment() < untilMs)
    await this.#audit()
  }

  /** Ends a window left behind by this user, or any window that stands for too long. */
  async tidyUp(): Promise<void> {
    await this.status()
    const [state] = await this.#witness.query<Look>(lookSql)
    if (!state || state.mode === "normal") return
    if (state.maintainer === this.user && this.dice.chance(0.7)) await this.leave()
    else if (Date.now() - (state.since?.getTime() ?? 0) > longestWindowMs) await this.leave(emergencyUser)
  }

  /** Records the end of an audit. */
  audited(audit: number): void {
    if (audit === this.#audits) this.#auditEnded()
  }

  /**
   * Reports a window that was entered, if it stands. Earlier commits of other users are no leaks. The reason
   * identifies the window, because it may be over, and another of the same maintainer may be entering.
   */
  async #stands({ maintainer, reason }: { maintainer: string; reason: string }): Promise<void> {
    const [look] = await this.#witness.query<Look>(lookSql)
    const from = moment()
    if (!look || look.mode === "normal" || look.maintainer !== maintainer || look.reason !== reason) return
    const { epoch, mode, snapshot } = look
    tell({ standing: { epoch, mode, maintainer, snapshot, from } })
  }

  async #audit(): Promise<void> {
    const ended = new Promise<void>((resolve) => (this.#auditEnded = resolve))
    tell({ audit: ++this.#audits })
    await Promise.race([ended, pause(auditWithinMs)])
  }

  /** Writes as the maintainer. The write must be stored while the window stands. */
  async #writeAs(user: string): Promise<void> {
    const look = async () => (await this.#witness.query<Look>(lookSql))[0]
    const before = await look()
    await this.#call("write", async (attempt) => {
      try {
        await this.#maintenance.runAs(user, () =>
          this.#dataSource.getRepository(Entry).insert({ attempt, actor: user, door: "maintainer" }),
        )
      } catch (error) {
        const isRefused = error instanceof WriteVetoedError || error instanceof AccessRefusedError
        const after = await look()
        const isOwn = before?.maintainer === user && before.epoch === after?.epoch && after.mode !== "normal"
        if (isRefused && isOwn) this.#failed("a maintainer was refused in the own window", error.message)
        throw error
      }
    })
  }

  /** Whether there is a known explanation for a window with this reason that is still entering. */
  #isKnown(reason: string): boolean {
    return reason === this.#leftEntering || this.#announced.has(reason)
  }

  #failed(what: string, facts: string): void {
    tell({ failed: { kind: "inconsistency", what, facts } })
  }

  /** Makes a call. The name of the call serves as its unique reason. */
  async #call(
    call: string,
    work: (operation: string) => Promise<unknown>,
    facts: Facts = {},
  ): Promise<boolean> {
    const operation = `${this.#name} ${++this.#operations}`
    tell({ begun: { call, operation } })
    const begunAt = Date.now()
    let outcome = "done"
    let isBroken = false
    let epoch: number | undefined
    try {
      const result = await work(operation)
      if (call.startsWith("enter")) epoch = (result as { epoch: number }).epoch
    } catch (error) {
      const isTimeout = (error as Error).name === "TimeoutError"
      outcome = isTimeout ? "aborted" : outcomeOf(error)
      isBroken = !(error instanceof MaintenanceError) && !isTimeout
      if (isBroken) outcome += `: ${(error as Error).message}`
    }
    const known = epoch === undefined ? {} : { epoch }
    const { hasEntered = false, resolvedAt: endedAt = Date.now(), ...others } = facts
    tell({ ended: { call, operation, begunAt, endedAt, outcome, isBroken, hasEntered, ...known, ...others } })
    return outcome === "done"
  }
}
