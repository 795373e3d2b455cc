// A separate process with several shops that tries every door of the corpus in each, until it is told to
// stop.
import "reflect-metadata"
import { DataSource } from "typeorm"
import { installMaintenance, MaintenanceError } from "../../src"
import { corpus } from "../doors/corpus"
import type { Door } from "../doors/door"
import { newDataSource } from "../support/data-source"
import { Estate, type Outsider, restock } from "../support/shop"
import { Loops } from "./loops"
import { shopUrl, shuffled } from "./shops"

/** All doors except those that fail or write nothing in every mode. */
const doors = Object.entries(corpus).flatMap(([group, members]) =>
  Object.entries(members)
    .filter(([, { inConcurrent }]) => inConcurrent !== "as in plain TypeORM")
    .map(([name, door]) => [`${group}: ${name}`, door] as const),
)

const poolSize = 3

/** One shop: its DataSource, and the order in which it tries the doors. */
class Shop {
  readonly #estate: Estate
  readonly #dataSource: DataSource
  readonly #order: () => readonly [string, Door]
  #name = ""
  #isAsNew = false
  #isAstray = false

  constructor(url: string, number: number, seed: number) {
    this.#estate = new Estate(number)
    this.#dataSource = newDataSource(shopUrl(url, number), { poolSize })
    this.#order = shuffled(doors, seed + number)
  }

  async open(): Promise<() => Promise<void>> {
    const maintenance = installMaintenance(this.#dataSource)
    await this.#dataSource.initialize()
    const [{ name }] = (await this.#dataSource.query("select current_database() as name")) as [
      { name: string },
    ]
    this.#name = this.#estate.name(name)
    return async () => {
      await this.#dataSource.destroy()
      await maintenance.uninstall()
    }
  }

  /** Tries the next door. The preparation for it also goes through the plugin. */
  async attempt() {
    const [door, { run, arrange }] = this.#order()
    const { sql } = { sql: (text, values) => this.#dataSource.query(text, values) } satisfies Outsider
    const site = { sql, estate: this.#estate, name: this.#name }
    if (this.#isAstray) await this.#resetSessions().catch(ignore)
    if (!this.#isAsNew) await restock({ sql }, this.#estate).then(() => (this.#isAsNew = true), ignore)
    await arrange?.(site).catch(ignore)
    const outcome = await run(this.#dataSource, site).then(() => "done", outcomeOf)
    if (arrange || !(outcome === "WriteVetoedError" || outcome === "AccessRefusedError"))
      this.#isAsNew = false
    if (outcome.endsWith("25006")) this.#isAstray = true
    return { door, outcome, shop: this.#estate.number }
  }

  /**
   * Resets the sessions' settings. A refused door cannot reset its own, so the next user of the connection
   * would find them.
   */
  async #resetSessions(): Promise<void> {
    await Promise.all(Array.from({ length: poolSize }, () => this.#dataSource.query("reset all")))
    this.#isAstray = false
  }
}

function outcomeOf(error: Error & { code?: string; driverError?: { code?: string } }): string {
  if (error instanceof MaintenanceError) return error.constructor.name
  return `${error.constructor.name} ${error.driverError?.code ?? error.code ?? error.message}`
}

/** Ignores an error, because these statements may be refused like any other. */
function ignore(): void {}

async function main(url: string, seed: number, numbers: number[]): Promise<void> {
  const shops = numbers.map((number) => new Shop(url, number, seed))
  const closers = await Promise.all(shops.map((shop) => shop.open()))
  await new Loops(shops.length, (loop) => (shops[loop] as Shop).attempt()).run()
  for (const close of closers) await close()
  process.disconnect()
}

const [url = "", seed = "1", ...numbers] = process.argv.slice(2)
void main(url, Number(seed), numbers.map(Number))
