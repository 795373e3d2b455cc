import type { Socket } from "node:net"
import { letterOf } from "./messages"

/** What is counted: each message of the protocol, or all up to one that the server answers, which is a request. */
export type Step = "message" | "request"

/** The letters of messages that are followed by others before the server answers: Parse, Bind, Describe, Execute, Close. */
const followed = new Set("PBDEC")

/** Has the server answer what it has done so far. */
const flush = Buffer.from([0x48, 0, 0, 0, 4])

/** The two ends of a connection that goes through a proxy. */
export interface Link {
  readonly client: Socket
  readonly upstream: Socket
}

/**
 * The n-th step that a process takes towards the server. It is held back, and what follows on its connection; other
 * connections go on.
 */
export class Hold {
  /** Resolves when it has come so far, and the server has done what was sent before. */
  readonly reached: Promise<void>
  /** What has gone on to the server since it was counted. */
  readonly arrived: Buffer[] = []
  readonly #step: Step
  readonly #begun = new Map<Link, Buffer[]>()
  /** Where a request has been sent in part. */
  readonly #unanswered = new Set<Link>()
  #left: number
  #link: Link | undefined
  #held: { readonly link: Link; readonly messages: Buffer[] } | undefined
  #reach: () => void = () => undefined

  constructor(n: number, step: Step) {
    this.#left = n
    this.#step = step
    this.reached = new Promise((resolve) => (this.#reach = resolve))
  }

  /** Takes a message on its way, which goes on unless it is held. */
  take(link: Link, message: Buffer): void {
    if (this.#held?.link === link) return void this.#held.messages.push(message)
    const messages = [...(this.#begun.get(link) ?? []), message]
    const isWhole = this.#step === "message" || !followed.has(letterOf(message))
    this.#begun.set(link, isWhole ? [] : messages)
    if (!isWhole) return
    if (--this.#left !== 0) return this.#send(link, messages)
    this.#link = link
    this.#held = { link, messages }
    if (!this.#unanswered.has(link)) return this.#reach()
    link.upstream.once("data", () => this.#reach())
    link.upstream.write(flush)
  }

  /** Lets what is held go on, and all that follows. */
  pass(): void {
    this.#left = 0
    const held = this.#held
    this.#held = undefined
    if (held) this.#send(held.link, held.messages)
  }

  /** Cuts the connection; what was sent on before arrives. Resolves when the server has ended its session. */
  async cut(): Promise<void> {
    const { client, upstream } = this.#link ?? {}
    if (!upstream || upstream.destroyed) return
    const closed = new Promise((resolve) => upstream.once("close", resolve))
    client?.destroy()
    await closed
  }

  #send(link: Link, messages: Buffer[]): void {
    for (const message of messages) {
      this.arrived.push(message)
      if (followed.has(letterOf(message))) this.#unanswered.add(link)
      else this.#unanswered.delete(link)
      link.upstream.write(message)
    }
  }
}
