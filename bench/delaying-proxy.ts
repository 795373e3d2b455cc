// A separate process that delays data on its way to a server, so that a round trip takes longer.
import { connect, createServer, type Socket } from "node:net"

const [port = "", delay = ""] = process.argv.slice(2)
const delayMs = Number(delay)

/** Forwards the data in order, each piece after the delay. */
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
