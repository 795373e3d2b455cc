import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"
import { addUp, type Tally } from "./tally"

/** What a branch is asked: how it stands, to begin a new tally, or to close. */
export interface Order {
  readonly id: number
  readonly what: "peek" | "next" | "close"
}

/** What a branch says: that it is open, what it was asked for, or that it failed. */
export type Answer = { isOpen: true } | { id: number; tally: Tally } | { failure: string }

const names = ["north", "south"]
const closeWithinMs = 3000

/** The other processes: each a branch of the shop with a DataSource of its own. */
export class Branches {
  readonly #processes: ChildProcess[]
  readonly #failed: Promise<never>
  #orders = 0
  #commits = 0

  /** Starts the processes; `ready()` tells when they trade. */
  constructor(url: string) {
    this.#processes = names.map((name) =>
      fork(join(__dirname, "branch.js"), [name], { env: { ...process.env, SHOP_URL: url } }),
    )
    this.#failed = Promise.race(this.#processes.map(failureOf))
    this.#failed.catch(() => undefined)
  }

  /** How many commits all tallies so far have counted. */
  get commits(): number {
    return this.#commits
  }

  /** Resolves when all are connected and trade. */
  async ready(): Promise<void> {
    await this.#all((child) => answerTo(child, (answer) => ("isOpen" in answer ? true : undefined)))
  }

  /** How the running tally stands. */
  async peek(): Promise<Tally> {
    return addUp(await this.#ask("peek"))
  }

  /** Begins a new tally; resolves with the one before. What is begun is counted in the tally in which it began. */
  async next(): Promise<Tally> {
    return this.#count(await this.#ask("next"))
  }

  /** Ends all trade; resolves with the last tally. */
  async close(): Promise<Tally> {
    return this.#count(await this.#ask("close"))
  }

  /** Ends the processes, at the latest after a few seconds by force. */
  async end(): Promise<void> {
    await Promise.all(this.#processes.map(endProcess))
  }

  #count(tallies: readonly Tally[]): Tally {
    const total = addUp(tallies)
    this.#commits += total.commits
    return total
  }

  #ask(what: Order["what"]): Promise<Tally[]> {
    const order: Order = { id: ++this.#orders, what }
    return this.#all((child) => {
      const tally = answerTo(child, (answer) =>
        "id" in answer && answer.id === order.id ? answer.tally : undefined,
      )
      child.send(order)
      return tally
    })
  }

  #all<T>(work: (child: ChildProcess) => Promise<T>): Promise<T[]> {
    return Promise.race([Promise.all(this.#processes.map(work)), this.#failed])
  }
}

/** Resolves with the first answer in which `find` finds something. */
function answerTo<T>(child: ChildProcess, find: (answer: Answer) => T | undefined): Promise<T> {
  return new Promise((resolve) => {
    const listen = (answer: Answer) => {
      const found = find(answer)
      if (found === undefined) return
      child.off("message", listen)
      resolve(found)
    }
    child.on("message", listen)
  })
}

function failureOf(child: ChildProcess): Promise<never> {
  return new Promise((_, reject) => {
    child.on("message", (answer: Answer) => {
      if ("failure" in answer) reject(new Error(`A branch failed: ${answer.failure}`))
    })
    child.on("error", reject)
    child.on("exit", (code, signal) => reject(new Error(`A branch ended by itself (${signal ?? code}).`)))
  })
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const force = setTimeout(() => child.kill("SIGKILL"), closeWithinMs)
  const exited = new Promise((resolve) => child.once("exit", resolve))
  if (child.connected) child.disconnect()
  await exited
  clearTimeout(force)
}
