import type { Panel } from "../../src/panel"

/** An event of an open page. */
export interface PanelEvent {
  readonly name: string
  readonly data: string
}

/** Reads the events that an open page receives. */
export class EventReader {
  readonly response: Response
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  readonly #decoder = new TextDecoder()
  readonly #events: PanelEvent[] = []
  #text = ""

  private constructor(response: Response) {
    this.response = response
    this.#reader = response.body?.getReader()
  }

  /** Opens a page of the panel, as a user whom `authorize` of the tests identifies. */
  static async open(panel: Panel, user: string): Promise<EventReader> {
    return new EventReader(
      await panel.fetch(new Request("http://panel.test/events", { headers: { "x-user": user } })),
    )
  }

  /** Reads until an event is right; resolves with it, or with undefined if the stream ends before. */
  async until(isRight: (event: PanelEvent) => boolean): Promise<PanelEvent | undefined> {
    for (;;) {
      for (let event = this.#events.shift(); event; event = this.#events.shift())
        if (isRight(event)) return event
      const read = await this.#reader?.read()
      if (!read?.value) return undefined
      this.#take(read.value)
    }
  }

  /** Closes the page. */
  async close(): Promise<void> {
    await this.#reader?.cancel()
  }

  #take(bytes: Uint8Array): void {
    const blocks = (this.#text + this.#decoder.decode(bytes, { stream: true })).split("\n\n")
    this.#text = blocks.pop() ?? ""
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? ""
      this.#events.push({ name: field("event"), data: field("data") })
    }
  }
}
