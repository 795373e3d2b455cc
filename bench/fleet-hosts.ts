import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import type { Mode } from "../src"

/** Time for all instances to know the mode, in milliseconds. */
const longestMs = 30_000

/** Instances spread evenly over separate processes. */
export class FleetHosts {
  readonly #processes: ChildProcess[]
  readonly #instances: number
  /**
   * Times at which the instances learned of exclusive mode, in microseconds of the machine's monotonic clock.
   */
  #knows: number[] = []

  private constructor(processes: ChildProcess[], instances: number) {
    this.#processes = processes
    this.#instances = instances
    for (const process of processes)
      process.on("message", ({ mode, at }: { mode: Mode; at: number }) => {
        if (mode === "exclusive") this.#knows.push(at)
      })
  }

  /** Starts the processes. Resolves when all instances watch. */
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

  /**
   * Measures the delay from the call of `enter` until each instance knows exclusive mode, in microseconds.
   */
  async delaysOf(enter: () => Promise<unknown>): Promise<number[]> {
    this.#knows = []
    const before = Number(process.hrtime.bigint()) / 1000
    await enter()
    // An instance acknowledges after it knows; its report may still be on the way.
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
