import type { Scheduler } from "fast-check"
import { AsyncLocalStorage } from "node:async_hooks"
import { setImmediate } from "node:timers/promises"
import type { Client } from "pg"
import type { Maintenance } from "../../../src"
import { StateFunctions } from "../../../src/state/state-functions"
import { difference } from "./difference"
import { Model } from "./model"
import { make, type Plan, scriptOf, type Step } from "./plans"
import { rules } from "./rules"
import { type Snapshot, snapshot } from "./snapshot"
import { Refusal } from "./refusals"

/** A plan under way. It runs, or waits for its turn to call a function of the database. */
interface Run {
  readonly plan: Plan
  isWaiting: boolean
  isDone: boolean
}

/** A call under way, and whether the rules have refused it. */
interface Call {
  readonly run: Run
  readonly step: Step
  isWorking: boolean
  isRefused: boolean
}

/** The plans of several users in one process, whose database calls a scheduler puts in order. */
export class Interleaving {
  readonly model = new Model()
  readonly #scheduler: Scheduler
  readonly #maintenances: readonly Maintenance[]
  readonly #client: Client
  readonly #calls = new AsyncLocalStorage<Call>()
  readonly #script: string[] = []
  #runs: Run[] = []
  #before: Snapshot | undefined
  #failure: Error | undefined

  /** `client` is an outsider's connection, for observation. */
  constructor(scheduler: Scheduler, maintenances: readonly Maintenance[], client: Client) {
    this.#scheduler = scheduler
    this.#maintenances = maintenances
    this.#client = client
  }

  /** Runs the plans to their ends. Throws if the outcome of a call, or the state, differs from the rules. */
  async run(plans: readonly Plan[]): Promise<void> {
    this.#script.push(...plans.map(scriptOf), "// The functions of the database were called in this order:")
    const { rows } = await this.#client.query<{ id: number }>("select maintenance.live() as id")
    for (const { id } of rows) this.model.live.add(id)
    this.#before = await snapshot(this.#client)
    // oxlint-disable-next-line typescript/unbound-method -- restored below
    const { rows: original } = StateFunctions.prototype
    const asked = (name: string, values: readonly unknown[], work: () => Promise<object[]>) =>
      this.#asked(name, values, work)
    StateFunctions.prototype.rows = function (...given: Parameters<StateFunctions["rows"]>) {
      const [name, values = []] = given
      return asked(name, values, () => original.apply(this, given)) as Promise<never[]>
    }
    try {
      this.#runs = plans.map((plan) => ({ plan, isWaiting: false, isDone: false }))
      const all = Promise.all(this.#runs.map((run) => this.#follow(run)))
      await this.#quiet()
      await this.#scheduler.waitFor(all, async (release) => {
        await release()
        await this.#quiet()
      })
    } finally {
      StateFunctions.prototype.rows = original
    }
    if (this.#failure) throw this.#failure
  }

  async #follow(run: Run): Promise<void> {
    await this.#each(run, run.plan.steps)
    run.isDone = true
  }

  async #each(run: Run, steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      const call: Call = { run, step, isWorking: false, isRefused: false }
      const maintenance = this.#maintenances[run.plan.dataSource] as Maintenance
      const each = (work: readonly Step[]) => {
        call.isWorking = true
        return this.#each(run, work)
      }
      const outcome = await this.#calls.run(call, () =>
        make(step, { maintenance, user: run.plan.user, each }).then(
          () => "done",
          (error: { code?: string; message: string }) => error.code ?? error.message,
        ),
      )
      const isFair = call.isRefused ? outcome.startsWith("MAINTENANCE_") : outcome === "done"
      if (!isFair) this.#differs(`${step.call}() of ${run.plan.user} came to ${outcome}`)
    }
  }

  /** Calls a function of the database when the scheduler permits, and applies the same to the model. */
  async #asked(name: string, values: readonly unknown[], work: () => Promise<object[]>): Promise<object[]> {
    const call = this.#calls.getStore()
    const rule = rules[name]
    if (!call || !rule) return work()
    call.run.isWaiting = true
    await this.#scheduler.schedule(Promise.resolve(), name)
    call.run.isWaiting = false
    const literals = values.map((value) =>
      typeof value === "object" ? `'${JSON.stringify(value)}'` : JSON.stringify(value),
    )
    this.#script.push(
      `// select maintenance.${name}(${literals.join(", ").replaceAll('"', name === "start_entering" ? '"' : "'")})`,
    )
    const expected = refusalOf(() => rule(this.model, values))
    let found: string | undefined
    try {
      const rows = await work()
      if (name === "finish" && (rows[0] as { finish: unknown }).finish === null) call.isRefused = true
      return rows
    } catch (error) {
      found = (error as { cause?: { code?: string } }).cause?.code ?? String(error)
      call.isRefused ||= name !== "waited_for" || !call.isWorking
      throw error
    } finally {
      if (found !== expected) this.#differs(`${name}(): ${expected} by the rules, ${found} by the database`)
      const after = await snapshot(this.#client)
      const differs = difference(this.model, after, this.#before)
      this.#before = after
      if (differs !== undefined) this.#differs(differs)
    }
  }

  /** Resolves when all unfinished plans wait for their turn. */
  async #quiet(): Promise<void> {
    do await setImmediate()
    while (this.#runs.some(({ isWaiting, isDone }) => !isWaiting && !isDone))
  }

  #differs(how: string): void {
    this.#failure ??= new Error(`${this.#script.join("\n")}\n// Here the rules and the plugin differ: ${how}`)
  }
}

function refusalOf(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof Refusal) return error.code
    throw error
  }
}
