import type { ProtocolConnection } from "./protocol"

/** The methods by which a statement reaches the server. No statement runs without one of them. */
export type Passage = Pick<ProtocolConnection, (typeof methods)[number]>

const methods = ["query", "parse", "bind"] as const
/**
 * The statement that tracing sends for itself: one SET, which cannot call a function and changes only the
 * session.
 */
const setting = /^\s*set\s[^;]*$/i

/**
 * Blocks everything that is sent over a connection other than through its `passage`. A statement that reaches
 * pg's client past this package, such as tracing's clone of a query object, is not fenced.
 */
export class Seal {
  /** The original methods. */
  readonly passage: Passage
  readonly #connection: ProtocolConnection
  readonly #intruded: (text: string | undefined) => void
  readonly #own: [name: string, descriptor: PropertyDescriptor | undefined][] = []

  /** `intruded` is called with the text that was not sent, if known, and must end the connection. */
  constructor(connection: ProtocolConnection, intruded: (text: string | undefined) => void) {
    const { query, parse, bind } = connection
    this.passage = { query, parse, bind }
    this.#connection = connection
    this.#intruded = intruded
  }

  /** Seals the connection. Everything requested before must be done. */
  close(): void {
    const { query } = this.passage
    this.#replace("query", (text: string) => {
      if (setting.test(text)) query.call(this.#connection, text)
      else this.#intruded(text)
    })
    this.#replace("parse", ({ text }: { text: string }) => this.#intruded(text))
    this.#replace("bind", () => this.#intruded(undefined))
  }

  /** Restores the connection. */
  dispose(): void {
    for (const [name, descriptor] of this.#own.splice(0)) {
      if (descriptor) Object.defineProperty(this.#connection, name, descriptor)
      else delete (this.#connection as unknown as Record<string, unknown>)[name]
    }
  }

  #replace(name: keyof Passage, value: unknown): void {
    this.#own.push([name, Object.getOwnPropertyDescriptor(this.#connection, name)])
    Object.defineProperty(this.#connection, name, { value, configurable: true, writable: true })
  }
}
