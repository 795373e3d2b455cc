import { setTimeout as pause } from "node:timers/promises"
import { withMaintenance } from "../support/data-source"
import { withClient } from "../support/database"
import { type EmbeddedServer, startEmbeddedServer } from "../support/embedded-server"
import { withoutWaiting } from "../race/broken-variants"
import { Announcements } from "./announcements"
import { Auditor } from "./auditor"
import { Books } from "./books"
import { boundMs } from "./bound"
import { Worker, type Memory, type Role } from "./crew"
import { Dice } from "./dice"
import { Faults } from "./faults"
import { Findings } from "./findings"
import { Judge } from "./judge"
import { ledgerSql, slowCommitsSql } from "./ledger"
import { type FromWorker, moment } from "./messages"
import type { Settings } from "./settings"
import { Tally } from "./tally"
import { Timeline } from "./timeline"
import { Witness } from "./witness"

const posts: readonly (readonly [name: string, role: Role])[] = [
  ["first application", "application"],
  ["second application", "application"],
  ["third application", "application"],
  ["alice", "maintainer"],
  ["bob", "maintainer"],
]

const auditEveryMs = 100
const inspectEveryMs = 1000
const progressEveryMs = 60_000
/** Time without faults at the end, in milliseconds. */
const calmMs = 3000

/** The result of a soak. */
export interface Outcome {
  readonly tally: Tally
  readonly auditor: Auditor
  readonly announcements: Announcements
  readonly timeline: Timeline
  readonly findings: Findings
  readonly memory: readonly Memory[]
}

/** A call that is under way. */
interface Pending {
  readonly worker: Worker
  readonly call: string
  readonly since: number
}

/** Runs a soak: a server, processes that work on it, and faults. */
export async function soak(settings: Settings): Promise<Outcome> {
  const server = await startEmbeddedServer()
  try {
    await prepare(server.url, settings.isBroken)
    return await new Conductor(server, settings).run()
  } finally {
    await server.stop()
  }
}

async function prepare(url: string, isBroken: boolean): Promise<void> {
  await withMaintenance(url, {}, () => Promise.resolve())
  await withClient(url, async (client) => {
    await client.query(ledgerSql)
    if (!isBroken) return
    await client.query(slowCommitsSql)
    await withoutWaiting({ sql: async (text, values) => (await client.query(text, values)).rows as never })
  })
}

class Conductor {
  readonly #server: EmbeddedServer
  readonly #settings: Settings
  readonly #witness: Witness
  readonly #timeline = new Timeline()
  readonly #findings: Findings
  readonly #auditor: Auditor
  readonly #announcements: Announcements
  readonly #books: Books
  readonly #judge: Judge
  readonly #tally = new Tally()
  readonly #pending = new Map<string, Pending>()
  readonly #judging = new Set<Promise<void>>()
  /** The process that the window is tied to, by maintainer. */
  readonly #leases = new Map<string, { who: string; graceMs: number }>()
  /** The processes that were registered as several instances at the last inspection. */
  #several: readonly number[] = []
  #normalSince = moment()
  #isNormal = true
  #workers: readonly Worker[] = []

  constructor(server: EmbeddedServer, settings: Settings) {
    this.#server = server
    this.#settings = settings
    this.#witness = new Witness(server.url)
    this.#findings = new Findings(this.#timeline, settings.isBroken)
    this.#auditor = new Auditor(this.#witness, this.#findings)
    this.#announcements = new Announcements(this.#witness, this.#findings, (standing) =>
      this.#auditor.watch(standing),
    )
    this.#books = new Books(this.#witness, this.#findings)
    this.#judge = new Judge(this.#witness, this.#findings, this.#timeline)
  }

  async run(): Promise<Outcome> {
    const { seed } = this.#settings
    const notes = { findings: this.#findings, timeline: this.#timeline }
    this.#workers = await Promise.all(
      posts.map(([name, role], number) =>
        Worker.start(
          { name, role, url: this.#server.url, seed: seed + (number + 1) * 1_000_000 },
          notes,
          (worker, message) => this.#heard(worker, message),
        ),
      ),
    )
    const over = new AbortController()
    const injecting = this.#injecting(over.signal)
    await this.#watch()
    over.abort()
    await injecting
    await this.#conclude()
    const memory = this.#workers.map((worker) => worker.memory)
    return {
      tally: this.#tally,
      auditor: this.#auditor,
      announcements: this.#announcements,
      timeline: this.#timeline,
      findings: this.#findings,
      memory,
    }
  }

  async #injecting(signal: AbortSignal): Promise<void> {
    if (!this.#settings.hasFaults) return
    const { witness, server, timeline } = {
      witness: this.#witness,
      server: this.#server,
      timeline: this.#timeline,
    }
    await new Faults({ witness, server, timeline }, this.#workers, new Dice(this.#settings.seed)).run(signal)
  }

  /** Audits repeatedly until the time is over. With a broken variant, ends at the first leak. */
  async #watch(): Promise<void> {
    const endAt = Date.now() + this.#settings.durationMs
    let inspectAt = Date.now() + inspectEveryMs
    let progressAt = Date.now() + progressEveryMs
    while (Date.now() < endAt && !this.#isDone()) {
      await pause(auditEveryMs)
      await this.#auditor.audit()
      await this.#lookForOutage()
      if (Date.now() >= inspectAt) {
        inspectAt = Date.now() + inspectEveryMs
        await this.#inspect()
      }
      if (Date.now() >= progressAt) {
        progressAt += progressEveryMs
        this.#printProgress()
      }
    }
  }

  #isDone(): boolean {
    const { isBroken, isEnough } = this.#settings
    if (isBroken && this.#findings.count("leak") > 0) return true
    return (
      isEnough?.({ windows: this.#auditor.windows, done: this.#tally.outcomes.get("done") ?? 0 }) ?? false
    )
  }

  async #conclude(): Promise<void> {
    if (this.#settings.hasFaults) await pause(calmMs)
    // Maintainers stop first, because an application may be waiting for the end of a window.
    for (const role of ["maintainer", "application"] as const)
      await Promise.all(this.#workers.filter((one) => one.role === role).map((worker) => worker.stop()))
    await this.#auditor.audit()
    await Promise.all(this.#judging)
    await this.#judge.history((maintainer) => this.#leases.get(maintainer))
    // With a broken variant, the soak ends at the first leak.
    if (!this.#settings.isBroken) this.#announcements.conclude(this.#settings.durationMs)
    await this.#witness.close()
  }

  #heard(worker: Worker, message: FromWorker): void {
    if (message === "ready") {
      this.#timeline.note(`${worker.name} is ready`)
      // The calls of its former process are gone.
      for (const [operation, { worker: owner }] of this.#pending)
        if (owner === worker) this.#pending.delete(operation)
      return
    }
    const work = this.#handle(worker, message).finally(() => this.#judging.delete(work))
    this.#judging.add(work)
  }

  async #handle(worker: Worker, message: Exclude<FromWorker, "ready">): Promise<void> {
    if ("application" in message) {
      const { stored, refused, answers } = message.application
      this.#tally.application(message.application)
      this.#auditor.answered(answers)
      await this.#books.check(stored, refused)
    } else if ("begun" in message) {
      const { operation, call } = message.begun
      this.#pending.set(operation, { worker, call, since: Date.now() })
    } else if ("ended" in message) {
      const { ended } = message
      this.#pending.delete(ended.operation)
      this.#tally.call(ended)
      if (!["write", "status"].includes(ended.call))
        this.#timeline.note(
          `${ended.operation}: ${ended.call} took ${ended.endedAt - ended.begunAt} ms: ${ended.outcome}`,
        )
      if (ended.graceMs !== undefined)
        this.#leases.set(worker.name, { who: worker.name, graceMs: ended.graceMs })
      await this.#judge.ended(worker.name, ended)
    } else if ("standing" in message) this.#auditor.watch(message.standing)
    else if ("told" in message) await this.#judge.told(worker.name, message.told)
    else if ("announced" in message) this.#announcements.announced(message.announced)
    else if ("audit" in message) {
      await this.#auditor.audit()
      worker.tell({ audited: message.audit })
    } else if ("failed" in message) {
      const { kind, what, facts } = message.failed
      this.#findings.add(kind, what, `${worker.name}: ${facts}`)
    }
  }

  async #lookForOutage(): Promise<void> {
    const [state] = await this.#witness.query<{ is_normal: boolean }>(
      "select n.mode = 'normal' as is_normal from maintenance.state s, maintenance.as_of_now(s) n",
    )
    const isNormal = state?.is_normal === true
    if (isNormal && !this.#isNormal) this.#normalSince = moment()
    this.#isNormal = isNormal
    if (!isNormal || this.#tally.outage(moment(), this.#normalSince) < boundMs) return
    this.#findings.add("hang", "nobody stores anything, and the mode is normal")
    this.#normalSince = moment()
  }

  async #inspect(): Promise<void> {
    await this.#judge.history((maintainer) => this.#leases.get(maintainer))
    await this.#announcements.look()
    for (const worker of this.#workers) await worker.checkAlive()
    for (const [operation, { call, since, worker }] of this.#pending) {
      if (Date.now() - since < boundMs) continue
      this.#pending.delete(operation)
      this.#findings.add("hang", `${call} does not end`, `${worker.name}: ${operation}`)
      await worker.kill()
      worker.start()
    }
    const rows = await this.#witness.query<{ pid: number }>(
      "select pid from maintenance.instances() group by pid having count(*) > 1",
    )
    const several = rows.map(({ pid }) => pid)
    for (const pid of several.filter((one) => this.#several.includes(one))) {
      const name = this.#workers.find((worker) => worker.pid === pid)?.name
      this.#findings.add("inconsistency", "a process is registered as several instances", name)
    }
    this.#several = several
  }

  #printProgress(): void {
    const { switches } = this.#tally
    const [leaks, hangs, inconsistencies] = (["leak", "hang", "inconsistency"] as const).map((kind) =>
      this.#findings.count(kind),
    )
    console.log(
      `${this.#timeline.at()}: ${switches} switches, ${this.#auditor.windows} windows watched, ` +
        `${leaks} leaks, ${hangs} hangs, ${inconsistencies} inconsistencies`,
    )
  }
}
