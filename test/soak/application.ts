// A separate process that reads and writes through the plugin in many ways, until it is told to stop.
import "reflect-metadata"
import { setTimeout as pause } from "node:timers/promises"
import type { DataSource, QueryRunner } from "typeorm"
import { AccessRefusedError, installMaintenance, type Maintenance, WriteVetoedError } from "../../src"
import { newDataSource } from "../support/data-source"
import { bounded, Hang } from "./bound"
import { Dice } from "./dice"
import { type Door, reading, writing } from "./doors"
import { emergencyUser, Entry, Shelf } from "./ledger"
import { type Answer, type ApplicationReport, moment, tell, type ToApplication } from "./messages"
import { outcomeOf } from "./outcome"
import { keepAlive, opened } from "./worker-life"

const loops = 8
const poolSize = 6
const reportEveryMs = 250
/** The users it acts for. Most are never a maintainer. */
const actors = ["nobody", "nobody", "clerk", "clerk", "clerk", "clerk", "alice", "bob"]

type News = {
  -readonly [Key in keyof ApplicationReport["application"]]: ApplicationReport["application"][Key]
}

/** The load of one process. */
class Application {
  readonly #name: string
  readonly #dataSource: DataSource
  readonly #maintenance: Maintenance
  readonly #seed: number
  /** Number of times that the DataSource was closed. */
  #closed = 0
  #attempts = 0
  #isStopped = false
  #stored: string[] = []
  #refused: string[] = []
  #answers: Answer[] = []
  #outcomes: Record<string, number> = {}
  #lastStoredAt = 0

  constructor(name: string, url: string, seed: number) {
    this.#name = name
    this.#seed = seed
    this.#dataSource = newDataSource(url, { entities: [Entry, Shelf], poolSize, logging: false })
    this.#maintenance = installMaintenance(this.#dataSource, {
      emergencyUsers: [emergencyUser],
      maxWaitMs: 20_000,
    })
  }

  async run(): Promise<void> {
    await opened(this.#dataSource)
    process.on("message", (message: ToApplication) => {
      if (message === "stop") this.#isStopped = true
      else if (message === "reopen") void this.#reopen()
      else void this.#exhaust(message.exhaustMs)
    })
    tell("ready")
    const reports = setInterval(() => this.#report(), reportEveryMs)
    await Promise.all(Array.from({ length: loops }, (_, loop) => this.#loop(new Dice(this.#seed + loop))))
    clearInterval(reports)
    this.#report()
    await this.#told("destroy()", this.#dataSource.destroy())
    await this.#told("uninstall()", this.#maintenance.uninstall())
  }

  async #loop(dice: Dice): Promise<void> {
    while (!this.#isStopped) {
      const doors = dice.chance(0.6) ? writing : reading
      await this.#attempt(doors, dice.pick(Object.keys(doors)), dice)
      await pause(dice.between(10, 90))
    }
  }

  async #attempt(doors: Record<string, Door>, door: string, dice: Dice): Promise<void> {
    const attempt = `${this.#name} ${++this.#attempts}`
    const actor = dice.pick(actors)
    const errand = {
      dataSource: this.#dataSource,
      maintenance: this.#maintenance,
      dice,
      signature: { attempt, actor, door },
    }
    const run = () => (doors[door] as Door)(errand)
    const closed = this.#closed
    const begunAt = moment()
    try {
      await bounded(door, actor === "nobody" ? run() : this.#maintenance.runAs(actor, run))
      this.#count("done")
      if (doors === reading) this.#answers.push({ actor, begunAt, endedAt: moment() })
      else {
        this.#stored.push(attempt)
        this.#lastStoredAt = moment()
      }
    } catch (error) {
      this.#count(outcomeOf(error))
      // A call that waits for a connection when pg's pool is closed waits forever, in plain TypeORM, too.
      if (this.#closed === closed) this.#hung(error, attempt)
      const isRefused = error instanceof WriteVetoedError || error instanceof AccessRefusedError
      if (isRefused && doors === writing) this.#refused.push(attempt)
    }
  }

  #count(outcome: string): void {
    this.#outcomes[outcome] = (this.#outcomes[outcome] ?? 0) + 1
  }

  #report(): void {
    const news: News = {
      stored: this.#stored,
      refused: this.#refused,
      answers: this.#answers,
      outcomes: this.#outcomes,
      lastStoredAt: this.#lastStoredAt,
    }
    this.#stored = []
    this.#refused = []
    this.#answers = []
    this.#outcomes = {}
    tell({ application: news })
  }

  /** Takes every connection of the pool, each with an open transaction. */
  async #exhaust(forMs: number): Promise<void> {
    const runners = Array.from({ length: poolSize }, () => this.#dataSource.createQueryRunner())
    const hold = async (runner: QueryRunner) => {
      await runner.startTransaction()
      await runner.query("select from shelf")
      await pause(forMs)
      await runner.rollbackTransaction()
    }
    const held = runners.map((runner) =>
      hold(runner)
        .catch(() => undefined)
        .then(() => runner.release())
        .catch(() => undefined),
    )
    await this.#told("an exhausted pool", Promise.all(held))
  }

  async #reopen(): Promise<void> {
    if (!this.#dataSource.isInitialized) return
    this.#closed++
    await this.#told("destroy()", this.#dataSource.destroy())
    await opened(this.#dataSource)
  }

  async #told(what: string, work: Promise<unknown>): Promise<void> {
    await bounded(what, work).catch((error: unknown) => {
      this.#count(`${what}: ${outcomeOf(error)}`)
      this.#hung(error, this.#name)
    })
  }

  #hung(error: unknown, facts: string): void {
    if (error instanceof Hang) tell({ failed: { kind: "hang", what: error.message, facts } })
  }
}

const [name = "", url = "", , seed = "0"] = process.argv.slice(2)
keepAlive()
void new Application(name, url, Number(seed)).run().then(() => process.disconnect())
