import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"
import type { Findings } from "./findings"
import { Line } from "./line"
import type { FromWorker, ToApplication, ToMaintainer } from "./messages"
import type { Timeline } from "./timeline"

/** The role of a process, which is the name of its script in this folder. */
export type Role = "application" | "maintainer"

/** Time without a message, and time to end, that a process is allowed, in milliseconds. */
const silentMs = 60_000
const stopWithinMs = 65_000
/** Limit on the memory of a process, in bytes. */
const mostMemory = 512 * 2 ** 20

/** Memory of a process, in bytes. */
export interface Memory {
  readonly name: string
  readonly atBegin: number
  readonly atEnd: number
  readonly most: number
}

/** The parameters of a worker. */
export interface Post {
  readonly name: string
  readonly role: Role
  readonly url: string
  readonly seed: number
}

/** A process with its own network to the server. It is restarted after it was killed. */
export class Worker {
  readonly name: string
  readonly role: Role
  readonly line: Line
  readonly #post: Post
  readonly #findings: Findings
  readonly #timeline: Timeline
  readonly #listener: (message: FromWorker) => void
  #child: ChildProcess | undefined
  #generation = 0
  #isExpectedToEnd = false
  /** Whether it has announced that it kills itself. */
  #isDying = false
  #heardAt = Date.now()
  #rss: number[] = []
  readonly #end = () => void this.#child?.kill("SIGKILL")
  isStopped = false

  private constructor(
    post: Post,
    line: Line,
    { findings, timeline }: { findings: Findings; timeline: Timeline },
    listener: (worker: Worker, message: FromWorker) => void,
  ) {
    this.name = post.name
    this.role = post.role
    this.line = line
    this.#post = post
    this.#findings = findings
    this.#timeline = timeline
    this.#listener = (message) => listener(this, message)
    // A process stopped by a signal would outlive this one.
    process.on("exit", this.#end)
  }

  static async start(
    post: Post,
    notes: { findings: Findings; timeline: Timeline },
    listener: (worker: Worker, message: FromWorker) => void,
  ): Promise<Worker> {
    const worker = new Worker(post, await Line.open(post.url), notes, listener)
    worker.start()
    return worker
  }

  /** The process id. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Memory of the current process, once it has warmed up. */
  get memory(): Memory {
    const [atBegin = Number.NaN] = this.#rss
    return { name: this.name, atBegin, atEnd: this.#rss.at(-1) ?? Number.NaN, most: Math.max(...this.#rss) }
  }

  /** Starts the process. */
  start(): void {
    if (this.#isAlive) return
    const seed = this.#post.seed + ++this.#generation * 1000
    const args = [`${this.name} ${this.#generation}`, this.line.url, this.#post.url, String(seed)]
    const child = fork(join(__dirname, `${this.role}.js`), args, {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    })
    this.#child = child
    this.#isExpectedToEnd = this.#isDying = false
    this.#heardAt = Date.now()
    this.#rss = []
    child.stderr?.on("data", (text: Buffer) => this.#timeline.note(`${this.name}: ${text.toString().trim()}`))
    child.on("message", (message: FromWorker) => this.#heard(message))
    child.once("exit", (code, signal) => {
      if (this.#isExpectedToEnd) return
      if (!this.#isDying)
        this.#findings.add("inconsistency", "a process ended by itself", `${this.name}: ${code ?? signal}`)
      if (!this.isStopped) this.start()
    })
  }

  get #isAlive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Kills the process. */
  async kill(): Promise<void> {
    const child = this.#child
    if (!child || !this.#isAlive) return
    this.#isExpectedToEnd = true
    const exit = new Promise((resolve) => child.once("exit", resolve))
    child.kill("SIGKILL")
    await exit
  }

  /** Sends a signal that does not end the process. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child?.kill(signal)
  }

  tell(message: ToApplication | ToMaintainer): void {
    if (this.#child?.connected) this.#child.send(message, () => undefined)
  }

  /** Reports a process that has been silent too long, and restarts it. */
  async checkAlive(): Promise<void> {
    if (Date.now() - this.#heardAt < silentMs) return
    this.#findings.add("hang", "a process says nothing", this.name)
    await this.kill()
    this.start()
  }

  /** Asks the process to end, and kills it if it does not. */
  async stop(): Promise<void> {
    this.isStopped = true
    const child = this.#child
    if (child && child.exitCode === null && child.signalCode === null) {
      this.#isExpectedToEnd = true
      const exit = new Promise<boolean>((resolve) => child.once("exit", () => resolve(true)))
      this.tell("stop")
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), stopWithinMs)))
      const isEnded = await Promise.race([exit, late])
      clearTimeout(timer)
      if (!isEnded) {
        this.#findings.add("hang", "a process does not end when it is told to", this.name)
        await this.kill()
      }
    }
    process.removeListener("exit", this.#end)
    await this.line.close()
  }

  #heard(message: FromWorker): void {
    this.#heardAt = Date.now()
    if (typeof message === "object" && "rss" in message) this.#remembers(message.rss)
    if (typeof message === "object" && "announced" in message) this.#isDying ||= message.announced.isLastAct
    this.#listener(message)
  }

  #remembers(rss: number): void {
    const isFirst = rss > mostMemory && (this.#rss.at(-1) ?? 0) <= mostMemory
    if (isFirst) this.#findings.add("inconsistency", "a process takes more than 512 MiB", this.name)
    this.#rss.push(rss)
  }
}
