import type { ProtocolConnection } from "./protocol"

/** The methods by which a statement gets to the server; none is run without one of them. */
export type Passage = Pick<ProtocolConnection, (typeof methods)[number]>

const methods = ["query", "parse", "bind"] as const
/** What tracing sends for itself: one SET, which can call no function, and changes nothing but the session. */
const setting = /^\s*set\s[^;]*$/i

/**
 * Lets nothing be sent over a connection but by who has its `passage`: what reaches pg's client past this package, as a
 * clone that tracing has made of a query object, is not fenced.
 */
export class Seal {
  /** The methods as they were. */
  readonly passage: Passage
  readonly #connection: ProtocolConnection
  readonly #intruded: (text: string | undefined) => void
  readonly #own: [name: string, descriptor: PropertyDescriptor | undefined][] = []

  /** `intruded` is called with the text of what was not sent, if that is known, and is to end the connection. */
  constructor(connection: ProtocolConnection, intruded: (text: string | undefined) => void) {
    const { query, parse, bind } = connection
    this.passage = { query, parse, bind }
    this.#connection = connection
    this.#intruded = intruded
  }

  /** Seals the connection; what was asked for before is to be done. */
  close(): void {
    const { query } = this.passage
    this.#replace("query", (text: string) => {
      if (setting.test(text)) query.call(this.#connection, text)
      else this.#intruded(text)
    })
    this.#replace("parse", ({ text }: { text: string }) => this.#intruded(text))
    this.#replace("bind", () => this.#intruded(undefined))
  }

  /** Leaves the connection as it was. */
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
