import { Member } from "./members"
import { Proxy } from "./proxy"

/** A process of its own that has the plugin, and whose way to the server is a proxy of its own. */
export class ProxiedMember {
  readonly member: Member
  readonly proxy: Proxy
  #isKilled = false

  private constructor(member: Member, proxy: Proxy) {
    this.member = member
    this.proxy = proxy
  }

  /** Starts one; resolves when it enforces. */
  static async start(url: string): Promise<ProxiedMember> {
    const proxy = await Proxy.start(url)
    return new ProxiedMember(await Member.start(proxy.url), proxy)
  }

  /** Kills it; resolves when the server has ended its sessions. */
  async kill(): Promise<void> {
    this.member.signal("SIGKILL")
    if (this.#isKilled) return
    this.#isKilled = true
    await this.proxy.closed()
    await this.proxy.stop()
  }
}

/** Processes that are there before they are needed: two start in the time of one. */
export class Reserve {
  readonly #url: () => string
  readonly #ready: ProxiedMember[] = []
  readonly #given: ProxiedMember[] = []

  constructor(url: () => string) {
    this.#url = url
  }

  /** One that nobody has had. None is just starting when it resolves. */
  async next(): Promise<ProxiedMember> {
    if (this.#ready.length === 0) {
      const start = () => ProxiedMember.start(this.#url())
      this.#ready.push(...(await Promise.all([start(), start()])))
    }
    const one = this.#ready.pop() as ProxiedMember
    this.#given.push(one)
    return one
  }

  /** Kills those that were given, if they live. */
  async clear(): Promise<void> {
    await Promise.all(this.#given.splice(0).map((one) => one.kill()))
  }

  /** Kills all. */
  async empty(): Promise<void> {
    await this.clear()
    await Promise.all(this.#ready.splice(0).map((one) => one.kill()))
  }
}
