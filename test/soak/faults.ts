import { setTimeout as pause } from "node:timers/promises"
import type { EmbeddedServer } from "../support/embedded-server"
import type { Worker } from "./crew"
import type { Dice } from "./dice"
import type { Timeline } from "./timeline"
import { type Witness, witnessName } from "./witness"

/** The resources for injecting faults. */
export interface Means {
  readonly server: EmbeddedServer
  readonly witness: Witness
  readonly timeline: Timeline
}

/** A fault of one process, or of all. Resolves when it is over. */
type Fault = (means: Means, worker: Worker, ms: number) => Promise<unknown>

/** The faults, with their frequency and target: one process, a process of a role, or all. */
const faults: Record<string, { weight: number; on: "one" | "application" | "all"; fault: Fault }> = {
  kill: { weight: 14, on: "one", fault: (_, worker, ms) => killAndStart(worker, ms) },
  stop: { weight: 14, on: "one", fault: (_, worker, ms) => stopAndContinue(worker, ms) },
  crash: { weight: 5, on: "all", fault: ({ server }) => server.crash() },
  "end of the watch": {
    weight: 10,
    on: "one",
    fault: (means, worker) => onWatch(means, worker, "terminate"),
  },
  "cancel on the watch": { weight: 8, on: "one", fault: (means, worker) => onWatch(means, worker, "cancel") },
  "end of all backends": { weight: 6, on: "all", fault: ({ witness }) => endAll(witness) },
  cut: { weight: 8, on: "one", fault: (_, { line }) => Promise.resolve(line.cut()) },
  outage: { weight: 8, on: "one", fault: (_, { line }, ms) => during(line, ms, () => line.breakDown()) },
  freeze: { weight: 8, on: "one", fault: (_, { line }, ms) => during(line, ms, () => line.freeze()) },
  delay: { weight: 6, on: "one", fault: (_, { line }, ms) => during(line, ms, () => line.delay(ms / 40)) },
  "exhausted pool": {
    weight: 6,
    on: "application",
    fault: (_, worker, ms) => Promise.resolve(worker.tell({ exhaustMs: ms })),
  },
  "closed and opened": {
    weight: 4,
    on: "application",
    fault: (_, worker) => Promise.resolve(worker.tell("reopen")),
  },
}

const weights = Object.fromEntries(Object.entries(faults).map(([name, { weight }]) => [name, weight]))

/** Injects faults at random, some concurrently, until it is aborted. Then waits until all are over. */
export class Faults {
  readonly #means: Means
  readonly #workers: readonly Worker[]
  readonly #dice: Dice
  readonly #lasting = new Set<Promise<unknown>>()
  /** Processes with a fault under way. Two faults of one process would undo each other. */
  readonly #afflicted = new Set<Worker>()

  constructor(means: Means, workers: readonly Worker[], dice: Dice) {
    this.#means = means
    this.#workers = workers
    this.#dice = dice
  }

  /** Injects faults until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // Makes every decision each time, so that later decisions do not depend on timing.
      const afterMs = this.#dice.between(500, 7000)
      const name = this.#dice.weighted(weights)
      const worker = this.#dice.pick(this.#workers)
      const forMs = this.#dice.between(200, 6000)
      await pause(afterMs, undefined, { signal }).catch(() => undefined)
      if (!signal.aborted) await this.#inject(name, worker, forMs)
    }
    await Promise.all(this.#lasting)
  }

  async #inject(name: string, worker: Worker, forMs: number): Promise<void> {
    const { on, fault } = faults[name] as (typeof faults)[string]
    if (on !== "all" && this.#afflicted.has(worker)) return
    if (on === "application" && worker.role !== "application") return
    const target = on === "all" ? undefined : worker.name
    const end = this.#means.timeline.begin(name, target)
    if (on !== "all") this.#afflicted.add(worker)
    const lasting = fault(this.#means, worker, forMs)
      .catch((error: unknown) => this.#means.timeline.note(`${name} failed: ${String(error)}`))
      .finally(() => {
        end()
        this.#afflicted.delete(worker)
        this.#lasting.delete(lasting)
      })
    this.#lasting.add(lasting)
    if (on === "all") await lasting
  }
}

async function killAndStart(worker: Worker, ms: number): Promise<void> {
  await worker.kill()
  await pause(ms / 2)
  worker.start()
}

async function stopAndContinue(worker: Worker, ms: number): Promise<void> {
  worker.signal("SIGSTOP")
  await pause(ms)
  worker.signal("SIGCONT")
}

async function during(line: Worker["line"], ms: number, begin: () => void): Promise<void> {
  begin()
  await pause(ms)
  line.restore()
}

/** Terminates the backend of the process's watch, or cancels its statement. */
function onWatch({ witness }: Means, { pid }: Worker, how: "terminate" | "cancel"): Promise<unknown> {
  return witness.query(
    `select pg_${how}_backend(l.pid) from maintenance.instance i join pg_locks l
       on l.locktype = 'advisory' and l.objsubid = 2 and l.objid::bigint = i.id
     join pg_stat_activity a on a.pid = l.pid and a.application_name = 'typeorm-maintenance-mode'
     where i.pid = $1`,
    [pid],
  )
}

function endAll(witness: Witness): Promise<unknown> {
  return witness.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name <> $1`,
    [witnessName],
  )
}
