// A process of its own that stands before a server and delays what is sent to it: a round trip takes that much longer.
import { connect, createServer, type Socket } from "node:net"

const [port = "", delay = ""] = process.argv.slice(2)
const delayMs = Number(delay)

/** Hands on what arrives, in order, each piece when its time has come. */
function handOn(from: Socket, to: Socket): void {
  from.on("data", (chunk) => setTimeout(() => to.write(chunk), delayMs))
  from.on("end", () => setTimeout(() => to.end(), delayMs))
}

const proxy = createServer((client) => {
  const server = connect(Number(port), "127.0.0.1")
  for (const socket of [client, server]) socket.setNoDelay(true).on("error", () => undefined)
  handOn(client, server)
  server.pipe(client)
})
proxy.listen(0, "127.0.0.1", () => process.send?.(proxy.address()))
process.once("disconnect", () => process.exit())
