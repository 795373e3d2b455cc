import type { PreparedStatements, ProtocolConnection, Step } from "./protocol"
import type { Passage } from "./seal"

/** What binds a step to a portal looks like on the wire, by the portal; it is the same each time. */
const bindings = new Map<string, WeakMap<Step, Buffer>>()

/** Gathers messages to a server, to write them to the socket in one piece. */
export class Packet {
  /** Takes messages as the real connection does, and writes nothing. */
  readonly messages: ProtocolConnection
  /** How many statements the server has bound; what pg's own queries bind counts, too. */
  bound = 0
  readonly #connection: ProtocolConnection
  #chunks: Buffer[] = []

  constructor(connection: ProtocolConnection, { query, parse, bind }: Passage) {
    this.#connection = connection
    const stream = { writable: true, write: (chunk: Buffer) => this.#chunks.push(chunk) }
    const own = {
      stream: { value: stream },
      query: { value: query },
      parse: { value: parse },
      bind: { value: bind },
    }
    this.messages = Object.create(connection, own) as ProtocolConnection
  }

  /** Adds a statement without describing it: its rows, if any, arrive unannounced and are to be dropped. */
  addStep(step: Step, prepared: PreparedStatements): void {
    this.bindStep(step, "", prepared)
    this.executeStep("")
  }

  /** Adds what binds a statement to a portal: what fails of that fails before all that is added from then on. */
  bindStep(step: Step, portal: string, prepared: PreparedStatements): void {
    const { name = "", text } = step
    if (name === "" || prepared.get(name) !== text) {
      // A name may have been taken by a Parse whose transaction failed: statements outlive transactions.
      if (name !== "") {
        // What the name stands for is not certain again before the step has run.
        prepared.delete(name)
        this.messages.close({ type: "S", name })
      }
      this.messages.parse({ text, name })
    }
    let ofPortal = bindings.get(portal)
    if (!ofPortal) bindings.set(portal, (ofPortal = new WeakMap()))
    let binding = ofPortal.get(step)
    if (!binding) {
      const chunks = this.#chunks
      this.#chunks = []
      this.messages.bind({ portal, statement: name, values: step.values.map(textOf) })
      binding = Buffer.concat(this.#chunks)
      ofPortal.set(step, binding)
      this.#chunks = chunks
    }
    this.#chunks.push(binding)
  }

  /** Adds what runs a portal. */
  executeStep(portal: string): void {
    this.messages.execute({ portal })
  }

  /** Writes what was gathered. */
  send(): void {
    const chunks = this.#chunks
    this.#chunks = []
    const { stream } = this.#connection
    if (chunks.length > 0 && stream.writable)
      stream.write(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))
  }
}

function textOf(value: string | boolean | number | null): string | null {
  return value === null || typeof value === "string" ? value : String(value)
}
