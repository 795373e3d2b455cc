import type { PreparedStatements, ProtocolConnection, Step } from "./protocol"

/** What a step that is prepared looks like on the wire; it is the same each time. */
const encoded = new WeakMap<Step, Buffer>()

/** Gathers messages to a server, to write them to the socket in one piece. */
export class Packet {
  /** Takes messages as the real connection does, and writes nothing. */
  readonly messages: ProtocolConnection
  readonly #connection: ProtocolConnection
  #chunks: Buffer[] = []

  constructor(connection: ProtocolConnection) {
    this.#connection = connection
    const stream = { writable: true, write: (chunk: Buffer) => this.#chunks.push(chunk) }
    this.messages = Object.create(connection, { stream: { value: stream } }) as ProtocolConnection
  }

  /** Adds a statement without describing it: its rows, if any, arrive unannounced and are to be dropped. */
  addStep(step: Step, prepared: PreparedStatements): void {
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
    let execution = encoded.get(step)
    if (!execution) {
      const chunks = this.#chunks
      this.#chunks = []
      this.messages.bind({ statement: name, values: step.values.map(textOf) })
      this.messages.execute({})
      execution = Buffer.concat(this.#chunks)
      encoded.set(step, execution)
      this.#chunks = chunks
    }
    this.#chunks.push(execution)
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
