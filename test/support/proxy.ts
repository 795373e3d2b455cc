import { connect, createServer, type Server, type Socket } from "node:net"

/**
 * A TCP proxy before a server, that cuts connections where it is told to:
 * - `before`: at what a client sends next, which does not arrive;
 * - `after`: at what the server answers next, which does not arrive.
 */
export class Proxy {
  readonly url: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #cut: "before" | "after" | undefined

  private constructor(url: string, server: Server) {
    this.url = url
    this.#server = server
  }

  static async start(target: string): Promise<Proxy> {
    const { hostname, port } = new URL(target)
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const url = new URL(target)
    url.port = String((server.address() as { port: number }).port)
    url.hostname = "127.0.0.1"
    const proxy = new Proxy(url.toString(), server)
    server.on("connection", (client) => proxy.#serve(client, connect(Number(port), hostname)))
    return proxy
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
    upstream.on("data", (bytes) => (this.#cut === "after" ? end() : client.write(bytes)))
  }
}
