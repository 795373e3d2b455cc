import { hostname } from "node:os"
import { setTimeout as pause } from "node:timers/promises"
import type { Instance } from "../mode/instance"
import { persistently } from "./persistence"
import { packageVersion } from "./schema-steps"
import type { StateFunctions } from "./state-functions"

/** Maximum pause between two looks, in milliseconds. */
const lastWaitMs = 100

/** A backend of a pool, as its client knows it. */
export interface Backend {
  readonly pid: number
  /**
   * Milliseconds since the client connected to it. A younger backend is another one, to which PostgreSQL gave
   * the same process id.
   */
  readonly connectedMs: number
  /** Whether it last acted for a user whom the state does not restrict. */
  readonly isUnrestricted: boolean
}

/** A report of an instance. */
export interface Acknowledgement {
  readonly epoch: number
  readonly refusals: number
  readonly backends: readonly Backend[]
}

/** A row of the function instances(). */
interface InstanceRow extends Omit<Instance, "since"> {
  since_ms: number
}

/**
 * Columns of that row. A time is read as a number, because the notation of a timestamp depends on the
 * session's settings.
 */
const instanceColumns =
  "id, host, pid, version, floor(extract(epoch from since) * 1000)::bigint as since_ms, epoch, refusals"

/** The instances, as the database knows them. */
export class Fleet {
  readonly #functions: StateFunctions

  constructor(functions: StateFunctions) {
    this.#functions = functions
  }

  /**
   * Makes the control connection the watch of an instance for as long as it is open; returns the instance's
   * id. `entries` are the instance's calls that are entering a mode. `formerId` is its id on a connection
   * that was lost.
   */
  register(knownEpoch: number, entries: readonly string[], formerId: number | undefined): Promise<number> {
    const who = [hostname(), process.pid, packageVersion]
    return this.#functions.value("register", [...who, knownEpoch, entries, formerId])
  }

  /** Reports the knowledge and the backends of an instance; returns whether it is still registered. */
  acknowledge(id: number, { epoch, refusals, backends }: Acknowledgement): Promise<boolean> {
    const pids = backends.map(({ pid }) => pid)
    const connectedMs = backends.map((backend) => backend.connectedMs)
    const isUnrestricted = backends.map((backend) => backend.isUnrestricted)
    return this.#functions.value("acknowledge", [id, epoch, refusals, pids, connectedMs, isUnrestricted])
  }

  /**
   * Asks the instances to report their backends again. Resolves when all live instances that know this epoch
   * have done so, after `withinMs`, or when it is aborted.
   */
  async askedAnew(epoch: number, withinMs: number, signal?: AbortSignal): Promise<void> {
    const deadline = performance.now() + withinMs
    const ask = () => this.#functions.value<string>("ask")
    const askedAt = await persistently(ask, { signal, isAbandonable: true })
    const untold = () => this.#functions.value<number>("untold", [askedAt, epoch])
    await lookUntil(untold, { isDone: (count) => count === 0, deadline, signal })
  }

  /** Returns the live instances, in the order of their registration. */
  async instances(): Promise<Instance[]> {
    const rows = await this.#functions.rows<InstanceRow>("instances", [], { columns: instanceColumns })
    return rows.map(({ since_ms: sinceMs, ...row }) => ({ ...row, since: new Date(sinceMs) }))
  }

  /**
   * Resolves when all live instances know this epoch or a later one, after `withinMs`, or when it is aborted.
   * Returns the instances that have not acknowledged it.
   */
  async acknowledged(epoch: number, withinMs: number, signal: AbortSignal): Promise<Instance[]> {
    const deadline = performance.now() + withinMs
    const missing = async () => (await this.instances()).filter((instance) => instance.epoch < epoch)
    return lookUntil(missing, { isDone: ({ length }) => length === 0, deadline, signal })
  }
}

/** Looks repeatedly until the result is right, the time is up, or it is aborted; returns the last result. */
async function lookUntil<T>(
  look: () => Promise<T>,
  {
    isDone,
    deadline,
    signal,
  }: { isDone: (seen: T) => boolean; deadline: number; signal: AbortSignal | undefined },
): Promise<T> {
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, lastWaitMs)) {
    const seen = await persistently(look, { signal, isAbandonable: true })
    const leftMs = deadline - performance.now()
    if (isDone(seen) || leftMs <= 0 || signal?.aborted) return seen
    await pause(Math.min(waitMs, leftMs), undefined, signal ? { signal } : {}).catch(() => undefined)
  }
}
