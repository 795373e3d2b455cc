import { Member } from "./members"
import { Proxy } from "./proxy"

/** A separate process with the plugin, connected to the server through a proxy. */
export class ProxiedMember {
  readonly member: Member
  readonly proxy: Proxy
  #isKilled = false

  private constructor(member: Member, proxy: Proxy) {
    this.member = member
    this.proxy = proxy
  }

  /** Starts a process. Resolves when it enforces. */
  static async start(url: string): Promise<ProxiedMember> {
    const proxy = await Proxy.start(url)
    return new ProxiedMember(await Member.start(proxy.url), proxy)
  }

  /** Kills the process. Resolves when the server has ended its sessions. */
  async kill(): Promise<void> {
    this.member.signal("SIGKILL")
    if (this.#isKilled) return
    this.#isKilled = true
    await this.proxy.closed()
    await this.proxy.stop()
  }
}

/** Processes started ahead of need: two start in the time of one. */
export class Reserve {
  readonly #url: () => string
  readonly #ready: ProxiedMember[] = []
  readonly #given: ProxiedMember[] = []

  constructor(url: () => string) {
    this.#url = url
  }

  /** A process that was not used before. No process is still starting when it resolves. */
  async next(): Promise<ProxiedMember> {
    if (this.#ready.length === 0) {
      const start = () => ProxiedMember.start(this.#url())
      this.#ready.push(...(await Promise.all([start(), start()])))
    }
    const one = this.#ready.pop() as ProxiedMember
    this.#given.push(one)
    return one
  }

  /** Kills the processes given out, if they are alive. */
  async clear(): Promise<void> {
    await Promise.all(this.#given.splice(0).map((one) => one.kill()))
  }

  /** Kills all processes. */
  async empty(): Promise<void> {
    await this.clear()
    await Promise.all(this.#ready.splice(0).map((one) => one.kill()))
  }
}
