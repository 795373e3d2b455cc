import { connect, createServer, type Server, type Socket } from "node:net"
import { Hold, type Step } from "./hold"
import { clientMessages, letterOf, serverMessages } from "./messages"
import { isForOthers } from "./sockets"

/** What a proxy does from the start. */
export interface ProxyOptions {
  /** Whether to leave out the server's notifications, as a pooler does. */
  readonly dropsNotifications?: boolean
}

/**
 * A TCP proxy before a server: a network whose faults are made to order. Where it cuts connections at a message:
 * - `before`: at what a client sends next, which does not arrive;
 * - `after`: at what the server answers next, which does not arrive.
 */
export class Proxy {
  readonly url: string
  readonly #options: ProxyOptions
  readonly #server: Server
  #target: URL
  readonly #clients = new Set<Socket>()
  readonly #sockets = new Set<Socket>()
  #cut: "before" | "after" | undefined
  #hold: Hold | undefined
  #delayMs = 0
  #isFrozen = false
  #isRefusing = false

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
      if (proxy.#isRefusing) client.destroy()
      else proxy.#serve(client, isForOthers(connect(Number(port), hostname)))
    })
    return proxy
  }

  /** Leads new connections to another server, and cuts all that there are. */
  redirect(target: string): void {
    this.#target = new URL(target)
    this.#destroyAll()
  }

  /** Cuts the connection at the next message. */
  cutNext(where: "before" | "after"): void {
    this.#cut = where
  }

  /** Cuts all connections at once; what was sent before arrives. Resolves when the server has ended their sessions. */
  async cutAll(): Promise<void> {
    const closed = this.closed()
    for (const client of this.#clients) client.destroy()
    await closed
  }

  /** Whether new connections are refused; those that there are stay. */
  refuse(isRefusing: boolean): void {
    this.#isRefusing = isRefusing
  }

  /** Counts from now on what clients send, and holds back the n-th step. */
  holdAt(n: number, step: Step): Hold {
    return (this.#hold = new Hold(n, step))
  }

  /** Has everything that is sent from now on, in both directions, arrive so much later. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** Leaves all connections half-open: nothing arrives, in no direction, and nobody is told that anything was closed. */
  freeze(): void {
    this.#isFrozen = true
    this.silence()
  }

  /** As freeze(), for the connections that there are: new ones are as ever. */
  silence(): void {
    for (const socket of this.#sockets) socket.pause()
  }

  /** What was sent meanwhile arrives, as TCP has it. */
  thaw(): void {
    this.#isFrozen = false
    for (const socket of this.#sockets) socket.resume()
  }

  /** Resolves when all connections that there are have been closed, by the server, too: then its sessions have ended. */
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
      // Else what is sent arrives when the answer to the last was acknowledged, and not before.
      socket.setNoDelay(true)
      // What was sent before arrives.
      const end = () => this.#later(() => void (client.destroy(), upstream.end()))
      socket.on("error", end).on("close", () => {
        this.#sockets.delete(socket)
        end()
      })
      if (this.#isFrozen) socket.pause()
    }
    const link = { client, upstream }
    const split = clientMessages()
    client.on("data", (bytes) => {
      if (this.#cut === "before") return cut()
      const messages = split(bytes)
      this.#later(() => {
        if (this.#hold) for (const message of messages) this.#hold.take(link, message)
        else upstream.write(bytes)
      })
    })
    const filter = this.#options.dropsNotifications ? withoutNotifications() : (bytes: Buffer) => bytes
    upstream.on("data", (bytes) => {
      if (this.#cut === "after") cut()
      else this.#later(() => client.write(filter(bytes)))
    })
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #later(pass: () => void): void {
    if (this.#delayMs > 0) setTimeout(pass, this.#delayMs)
    else pass()
  }
}

/** Leaves NotificationResponse out of what a server sends. */
function withoutNotifications(): (bytes: Buffer) => Buffer {
  const split = serverMessages()
  return (bytes) => Buffer.concat(split(bytes).filter((message) => letterOf(message) !== "A"))
}
