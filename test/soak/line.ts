import { connect, createServer, type Server, type Socket } from "node:net"
import { setTimeout as pause } from "node:timers/promises"

/** The network between one process and the server, which can fail as networks do. */
export class Line {
  readonly url: string
  readonly #server: Server
  readonly #target: URL
  readonly #sockets = new Set<Socket>()
  #isDown = false
  #delayMs = 0
  #frozen: Promise<void> | undefined
  #thaw: () => void = () => undefined

  private constructor(url: string, target: URL, server: Server) {
    this.url = url
    this.#target = target
    this.#server = server
  }

  static async open(target: string): Promise<Line> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const url = new URL(target)
    url.port = String((server.address() as { port: number }).port)
    const line = new Line(url.toString(), new URL(target), server)
    server.on("connection", (client) => line.#serve(client))
    return line
  }

  /** Cuts all connections. New ones are possible. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Cuts all connections and every new one, until `restore()`. */
  breakDown(): void {
    this.#isDown = true
    this.cut()
  }

  /** Delivers nothing in either direction, not even the close of a connection, until `restore()`. */
  freeze(): void {
    this.#frozen ??= new Promise((resolve) => (this.#thaw = resolve))
  }

  /** Delays everything sent from now on, until `restore()`. */
  delay(delayMs: number): void {
    this.#delayMs = delayMs
  }

  /** Restores the network. Everything held back arrives. */
  restore(): void {
    this.#isDown = false
    this.#delayMs = 0
    this.#thaw()
    this.#frozen = undefined
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(client: Socket): void {
    if (this.#isDown) return void client.destroy()
    const upstream = connect(Number(this.#target.port), this.#target.hostname)
    this.#pass(client, upstream)
    this.#pass(upstream, client)
  }

  #pass(from: Socket, to: Socket): void {
    let turn = Promise.resolve()
    const next = (work: () => void) => {
      const due = performance.now() + this.#delayMs
      turn = turn.then(() => this.#arrival(due)).then(work)
    }
    this.#sockets.add(from)
    from.setNoDelay()
    from.on("data", (bytes) => next(() => void to.write(bytes)))
    from.on("error", () => from.destroy())
    from.on("close", () => {
      this.#sockets.delete(from)
      next(() => void to.destroy())
    })
  }

  #arrival(due: number): Promise<void> | undefined {
    if (this.#frozen) return this.#frozen
    const leftMs = due - performance.now()
    return leftMs > 0 ? pause(leftMs) : undefined
  }
}
