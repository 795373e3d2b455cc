import { once } from "node:events"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { hostname } from "node:os"
import type { Command } from "commander"
import type { Panel } from "../../panel/index"
import { InputFault } from "../input-fault"
import { interruptible } from "../interruption"
import { print } from "../screen"
import { type ActingOptions, readStatus, withActor } from "../session"
import { modeLine } from "../text/status"
import { another, TicketOffice } from "../ticket-office"
import { acting, wholeNumber } from "../window-options"

interface PanelCommandOptions extends ActingOptions {
  readonly port?: string
  readonly host: string
}

const defaultPort = "4800"

/** Adds the command `panel`. */
export function addPanel(program: Command): void {
  acting(program.command("panel"), { hasJson: false })
    .option("--port <number>", `port to listen on (default: ${defaultPort})`)
    .option(
      "--host <address>",
      "address to listen on; the panel opens only with the printed link",
      "127.0.0.1",
    )
    .description("serve the control panel until Ctrl-C, for a team without a server to mount it in")
    .addHelpText("after", "\nExample:\n  $ npx typeorm-maintenance-mode panel --port 4800 --as alice")
    .action(async (options: PanelCommandOptions) => {
      const port = wholeNumber(options.port ?? defaultPort, "--port")
      if (port > 65_535) throw new InputFault(`--port ${port} is not a valid port; the largest is 65535.`)
      await withActor(options, ({ control, identity, target }) =>
        interruptible(async (signal) => {
          // Loaded here, because no other command needs it.
          const { createPanel } = await import("../../panel/index")
          const office = new TicketOffice({ user: identity.user, role: "maintainer" })
          const panel = createPanel(control, {
            authorize: (request) => office.viewerOf(request),
            title: `Maintenance of ${target.address.split(" ")[0] ?? ""}`,
          })
          const server = await listen(office.inFrontOf(panel), port, options.host)
          print(`The control panel is at ${addressOf(server)}?ticket=${office.ticket}`)
          print(`The link works once, in one browser. ${another}`)
          await aborted(signal)
          await panel.close()
          print(`The mode is now: ${modeLine(await readStatus(control))}.`)
          server.closeAllConnections()
          server.close()
        }),
      )
    })
}

async function listen(panel: Panel, port: number, host: string): Promise<Server> {
  const { nodeHandler } = await import("../../panel/index")
  const server = createServer(nodeHandler(panel))
  server.listen(port, host)
  try {
    await once(server, "listening")
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "EADDRINUSE") throw new InputFault(`Port ${port} is in use. Name another with --port.`)
    if (code === "EACCES")
      throw new InputFault(`You are not allowed to listen on port ${port}. Name another with --port.`)
    throw new InputFault(
      `It is not possible to listen on ${host} (${code}). Name an address of this machine with --host.`,
    )
  }
  return server
}

function addressOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo
  if (address === "0.0.0.0" || address === "::") return `http://${hostname()}:${port}/`
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}/`
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener("abort", () => resolve())
  })
}
