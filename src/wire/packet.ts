import type { PreparedStatements, ProtocolConnection, Step } from "./protocol"
import type { Passage } from "./seal"

/** The Bind messages of steps, by portal. They are the same each time. */
const bindings = new Map<string, WeakMap<Step, Buffer>>()

/** Gathers messages to a server, and writes them to the socket in one piece. */
export class Packet {
  /** Takes messages like the real connection, and writes nothing. */
  readonly messages: ProtocolConnection
  /** Number of statements that the server has bound, including those of pg's own queries. */
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

  /** Adds a statement without a Describe: its rows, if any, arrive unannounced and must be dropped. */
  addStep(step: Step, prepared: PreparedStatements): void {
    this.bindStep(step, "", prepared)
    this.executeStep("")
  }

  /** Binds a statement to a portal. If this fails, it fails before everything that is added later. */
  bindStep(step: Step, portal: string, prepared: PreparedStatements): void {
    const { name = "", text } = step
    if (name === "" || prepared.get(name) !== text) {
      // The name may be taken by a Parse whose transaction failed: prepared statements outlive transactions.
      if (name !== "") {
        // The meaning of the name is uncertain until the step has run.
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

  /** Adds the message that runs a portal. */
  executeStep(portal: string): void {
    this.messages.execute({ portal })
  }

  /** Writes the gathered messages. */
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
