import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { createPanel, nodeHandler } from "../../src/panel"
import { Branches } from "./branches"
import type { Screen } from "./screen"
import type { Shop } from "./shop"
import type { Surroundings } from "./surroundings"

const openForMinutes = 30

/** Keeps the shop open, with a control panel in the browser, until Ctrl-C. */
export async function keepPanelOpen(
  shop: Shop,
  url: string,
  screen: Screen,
  surroundings: Surroundings,
): Promise<void> {
  const branches = new Branches(url, openForMinutes)
  surroundings.atEnd("end the branches", () => branches.end())
  await branches.ready()
  const panel = createPanel(shop.maintenance, {
    // For the example only: anyone who reaches this port acts as alice. Use your own authentication.
    authorize: () => ({ user: "alice", role: "maintainer" }),
    title: "Shop",
  })
  const server = createServer(nodeHandler(panel)).listen(0, "127.0.0.1")
  surroundings.atEnd("close the panel", async () => {
    await panel.close()
    server.closeAllConnections()
    server.close()
  })
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  screen.headline(`THE CONTROL PANEL · http://127.0.0.1:${port}/`, "cyan")
  screen.say(
    "   The branches are selling again. Switch the mode in the browser and watch their\n" +
      "   sales being refused. Press Ctrl-C to end the demo; otherwise it ends after\n" +
      `   ${openForMinutes} minutes.`,
  )
  await interruptedOr(openForMinutes * 60_000)
}

/** Resolves when the demo is interrupted, or after this time. */
function interruptedOr(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    process.once("disconnect", () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
