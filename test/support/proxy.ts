import { connect, createServer, type Server, type Socket } from "node:net"
import { Hold, type Step } from "./hold"
import { clientMessages, letterOf, serverMessages } from "./messages"
import { isForOthers } from "./sockets"

/** Options for `Proxy.start()`. */
export interface ProxyOptions {
  /** Whether to drop the server's notifications, as a pooler does. Default: false. */
  readonly dropsNotifications?: boolean
}

/**
 * A TCP proxy in front of a server, which simulates network faults. It can cut a connection at a message:
 * - `before`: at the client's next message, which does not arrive;
 * - `after`: at the server's next answer, which does not arrive.
 */
export class Proxy {
  readonly url: string
  readonly #options: ProxyOptions
  readonly #server: Server
  #target: URL
  readonly #clients = new Set<Socket>()
  readonly #sockets = new Set<Socket>()
  #cut: "before" | "after" | undefined
  #refused = 0
  #texts: readonly string[] = []
  #hold: Hold | undefined
  #delayMs = 0
  #isFrozen = false
  #isRefusing = false
  #terminatesNext = false

  private constructor(url: string, target: URL, server: Server, options: ProxyOptions) {
    this.url = url
    this.#target = target
    this.#options = options
    this.#server = server
  }

  static async start(target: string, options: ProxyOptions = {}): Promise<Proxy> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const url = new URL(target)
    url.port = String((server.address() as { port: number }).port)
    url.hostname = "127.0.0.1"
    const proxy = new Proxy(url.toString(), new URL(target), server, options)
    server.on("connection", (client) => {
      const { hostname, port } = proxy.#target
      if (proxy.#isRefusing) {
        proxy.#refused++
        client.destroy()
      } else proxy.#serve(client, isForOthers(connect(Number(port), hostname)))
    })
    return proxy
  }

  /** Connects new clients to another server, and cuts all existing connections. */
  redirect(target: string): void {
    this.#target = new URL(target)
    this.#destroyAll()
  }

  /** Cuts the connection at the next message. */
  cutNext(where: "before" | "after"): void {
    this.#cut = where
  }

  /**
   * Cuts all connections, and refuses new ones, at a client's message with the last of these texts, after messages
   * with those before it. That message does not arrive.
   */
  cutAt(...texts: readonly string[]): void {
    this.#texts = texts
  }

  /**
   * Cuts all connections at once. Everything sent before arrives. Resolves when the server has ended their
   * sessions.
   */
  async cutAll(): Promise<void> {
    const closed = this.closed()
    for (const client of this.#clients) client.destroy()
    await closed
  }

  /**
   * Terminates the next connection as soon as it is ready: the server's notice arrives together with its readiness, as
   * for a client that was busy meanwhile.
   */
  terminateNext(): void {
    this.#terminatesNext = true
  }

  /** Number of connections that were refused. */
  get refused(): number {
    return this.#refused
  }

  /** Refuses or accepts new connections. Existing ones continue. */
  refuse(isRefusing: boolean): void {
    this.#isRefusing = isRefusing
  }

  /** Counts the clients' steps from now on, and holds the n-th one. */
  holdAt(n: number, step: Step): Hold {
    return (this.#hold = new Hold(n, step))
  }

  /** Delays everything sent from now on, in both directions. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  /**
   * Leaves all connections half-open: no data arrives in either direction, and neither end learns of a close.
   */
  freeze(): void {
    this.#isFrozen = true
    this.silence()
  }

  /** Freezes the existing connections only. */
  silence(): void {
    for (const socket of this.#sockets) socket.pause()
  }

  /** Delivers everything sent meanwhile, as TCP does. */
  thaw(): void {
    this.#isFrozen = false
    for (const socket of this.#sockets) socket.resume()
  }

  /** Resolves when all existing connections are closed on both sides, so that their sessions have ended. */
  async closed(): Promise<void> {
    const closing = [...this.#sockets].map(
      (socket) => new Promise((resolve) => socket.once("close", resolve)),
    )
    await Promise.all(closing)
  }

  async stop(): Promise<void> {
    this.#destroyAll()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(client: Socket, upstream: Socket): void {
    const cut = () => {
      this.#cut = undefined
      client.destroy()
      upstream.destroy()
    }
    this.#clients.add(client)
    client.once("close", () => this.#clients.delete(client))
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket)
      // Otherwise data would wait until the previous answer is acknowledged.
      socket.setNoDelay(true)
      // Data sent before still arrives.
      const end = () => this.#later(() => void (client.destroy(), upstream.end()))
      socket.on("error", end).on("close", () => {
        this.#sockets.delete(socket)
        end()
      })
      if (this.#isFrozen) socket.pause()
    }
    const isDoomed = this.#terminatesNext
    this.#terminatesNext = false
    const link = { client, upstream }
    const split = clientMessages()
    client.on("data", (bytes) => {
      if (this.#cut === "before") return cut()
      if (this.#isLastText(bytes)) {
        this.#isRefusing = true
        return this.#destroyAll()
      }
      const messages = split(bytes)
      this.#later(() => {
        if (this.#hold) for (const message of messages) this.#hold.take(link, message)
        else upstream.write(bytes)
      })
    })
    const filter = this.#options.dropsNotifications ? withoutNotifications() : (bytes: Buffer) => bytes
    upstream.on("data", (bytes) => {
      if (this.#cut === "after") cut()
      else if (isDoomed && bytes.subarray(-6).equals(readyForQuery))
        client.end(Buffer.concat([bytes, terminated]))
      else this.#later(() => client.write(filter(bytes)))
    })
  }

  /** Whether these bytes have the last of the awaited texts. */
  #isLastText(bytes: Buffer): boolean {
    const [text, ...others] = this.#texts
    if (text === undefined || !bytes.includes(text)) return false
    this.#texts = others
    return others.length === 0
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #later(pass: () => void): void {
    if (this.#delayMs > 0) setTimeout(pass, this.#delayMs)
    else pass()
  }
}

/** The message ReadyForQuery, outside of a transaction. */
const readyForQuery = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])
/** The message ErrorResponse by which a server ends a session. */
const terminated = (() => {
  const fields = "SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
  const head = Buffer.alloc(5, "E")
  head.writeUInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, Buffer.from(fields)])
})()

/** Drops NotificationResponse messages from a server's data. */
function withoutNotifications(): (bytes: Buffer) => Buffer {
  const split = serverMessages()
  return (bytes) => Buffer.concat(split(bytes).filter((message) => letterOf(message) !== "A"))
}
