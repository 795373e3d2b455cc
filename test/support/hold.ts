import type { Socket } from "node:net"
import { letterOf } from "./messages"

/**
 * The unit of counting: each message of the protocol, or a request, which ends with a message that the server
 * answers.
 */
export type Step = "message" | "request"

/**
 * The letters of messages that are followed by others before the server answers: Parse, Bind, Describe,
 * Execute, Close.
 */
const followed = new Set("PBDEC")

/** A Flush message, which makes the server send its pending answers. */
const flush = Buffer.from([0x48, 0, 0, 0, 4])

/** The two ends of a connection through a proxy. */
export interface Link {
  readonly client: Socket
  readonly upstream: Socket
}

/**
 * The n-th step of a process towards the server. It is held back together with everything after it on its
 * connection. Other connections continue.
 */
export class Hold {
  /** Resolves when the step is reached and the server has completed everything sent before. */
  readonly reached: Promise<void>
  /** Messages forwarded to the server since the counting began. */
  readonly arrived: Buffer[] = []
  readonly #step: Step
  readonly #begun = new Map<Link, Buffer[]>()
  /** Connections on which a request has been sent in part. */
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

  /** Handles a message on its way. It is forwarded unless its connection is held. */
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

  /** Forwards the held messages and everything after them. */
  pass(): void {
    this.#left = 0
    const held = this.#held
    this.#held = undefined
    if (held) this.#send(held.link, held.messages)
  }

  /** Cuts the connection. Everything sent before arrives. Resolves when the server has ended the session. */
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
