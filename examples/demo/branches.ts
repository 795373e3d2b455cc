import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"
import { addUp, type Tally } from "./tally"

/** A request to a branch: to report its tally, to begin a new one, or to close. */
export interface Order {
  readonly id: number
  readonly what: "peek" | "next" | "close"
}

/** A message from a branch: that it is open, the requested tally, or its failure. */
export type Answer = { isOpen: true } | { id: number; tally: Tally } | { failure: string }

const names = ["north", "south"]
const closeWithinMs = 3000

/** The other processes. Each is a branch of the shop with its own DataSource. */
export class Branches {
  readonly #processes: ChildProcess[]
  readonly #failed: Promise<never>
  #orders = 0
  #commits = 0

  /** Starts the processes. `ready()` resolves when they trade. They end by themselves after some minutes. */
  constructor(url: string, minutes = 3) {
    this.#processes = names.map((name) =>
      fork(join(__dirname, "branch.js"), [name], {
        env: { ...process.env, SHOP_URL: url, SHOP_MINUTES: String(minutes) },
      }),
    )
    this.#failed = Promise.race(this.#processes.map(failureOf))
    this.#failed.catch(() => undefined)
  }

  /** Number of commits in all tallies so far. */
  get commits(): number {
    return this.#commits
  }

  /** Resolves when all branches are connected and trade. */
  async ready(): Promise<void> {
    await this.#all((child) => answerTo(child, (answer) => ("isOpen" in answer ? true : undefined)))
  }

  /** Reads the running tally. */
  async peek(): Promise<Tally> {
    return addUp(await this.#ask("peek"))
  }

  /**
   * Begins a new tally, and resolves with the previous one. An action counts in the tally in which it began.
   */
  async next(): Promise<Tally> {
    return this.#count(await this.#ask("next"))
  }

  /** Ends all trade. Resolves with the last tally. */
  async close(): Promise<Tally> {
    return this.#count(await this.#ask("close"))
  }

  /** Ends the processes, by force after a few seconds. */
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

/** Resolves with the first result of `find` that is not undefined. */
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
