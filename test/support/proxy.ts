import { connect, createServer, type Server, type Socket } from "node:net"

/** What a proxy does from the start. */
export interface ProxyOptions {
  /** Whether to leave out the server's notifications, as a pooler does. */
  readonly dropsNotifications?: boolean
}

/**
 * A TCP proxy before a server, that cuts connections where it is told to:
 * - `before`: at what a client sends next, which does not arrive;
 * - `after`: at what the server answers next, which does not arrive.
 */
export class Proxy {
  readonly url: string
  readonly #options: ProxyOptions
  readonly #server: Server
  #target: URL
  readonly #sockets = new Set<Socket>()
  #cut: "before" | "after" | undefined

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
      proxy.#serve(client, connect(Number(port), hostname))
    })
    return proxy
  }

  /** Leads new connections to another server, and cuts all that there are. */
  redirect(target: string): void {
    this.#target = new URL(target)
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Cuts the connection at the next message. */
  cutNext(where: "before" | "after"): void {
    this.#cut = where
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(client: Socket, upstream: Socket): void {
    const end = () => {
      this.#cut = undefined
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket)
      socket.on("error", end).on("close", () => {
        this.#sockets.delete(socket)
        client.destroy()
        upstream.end()
      })
    }
    client.on("data", (bytes) => (this.#cut === "before" ? end() : upstream.write(bytes)))
    const filter = this.#options.dropsNotifications ? withoutNotifications() : (bytes: Buffer) => bytes
    upstream.on("data", (bytes) => (this.#cut === "after" ? end() : client.write(filter(bytes))))
  }
}

/** Leaves NotificationResponse out of what a server sends, which is made of messages: a letter, a length, the rest. */
function withoutNotifications(): (bytes: Buffer) => Buffer {
  let pending = Buffer.alloc(0)
  return (bytes) => {
    pending = Buffer.concat([pending, bytes])
    const passed: Buffer[] = []
    while (pending.length >= 5 && pending.length > pending.readUInt32BE(1)) {
      const end = 1 + pending.readUInt32BE(1)
      if (pending[0] !== "A".charCodeAt(0)) passed.push(pending.subarray(0, end))
      pending = pending.subarray(end)
    }
    return Buffer.concat(passed)
  }
}
