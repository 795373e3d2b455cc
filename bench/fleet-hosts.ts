import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import type { Mode } from "../src"

/** How long it may take at most that all know. */
const longestMs = 30_000

/** Instances in processes of their own, as evenly as it goes. */
export class FleetHosts {
  readonly #processes: ChildProcess[]
  readonly #instances: number
  /** When each instance knew that the mode is exclusive, in microseconds of the machine's monotonic clock. */
  #knows: number[] = []

  private constructor(processes: ChildProcess[], instances: number) {
    this.#processes = processes
    this.#instances = instances
    for (const process of processes)
      process.on("message", ({ mode, at }: { mode: Mode; at: number }) => {
        if (mode === "exclusive") this.#knows.push(at)
      })
  }

  /** Starts them; resolves when all of them watch. */
  static async start(url: string, instances: number, processes: number): Promise<FleetHosts> {
    const started: ChildProcess[] = []
    for (let number = 0; number < processes; number++) {
      const count =
        Math.floor(((number + 1) * instances) / processes) - Math.floor((number * instances) / processes)
      const host = fork(join(__dirname, "fleet-host.js"), [url, String(count)])
      started.push(host)
      await once(host, "message")
    }
    return new FleetHosts(started, instances)
  }

  /** How many microseconds after the call each of them knows of the exclusive mode that the work enters. */
  async delaysOf(enter: () => Promise<unknown>): Promise<number[]> {
    this.#knows = []
    const before = Number(process.hrtime.bigint()) / 1000
    await enter()
    // They acknowledge after they know; what they tell may be on its way.
    const deadline = performance.now() + longestMs
    while (this.#knows.length < this.#instances) {
      if (performance.now() > deadline) throw new Error(`Not all instances know after ${longestMs} ms.`)
      await new Promise(setImmediate)
    }
    return this.#knows.map((at) => at - before)
  }

  async stop(): Promise<void> {
    const exits = this.#processes.map((process) => once(process, "exit"))
    for (const process of this.#processes) process.disconnect()
    await Promise.all(exits)
  }
}
