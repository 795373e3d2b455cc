import type { MaintenanceControl } from "../index"
import { PanelApplication } from "./application"
import { checkSettings, type PanelOptions } from "./settings"

/** A control panel, to be mounted in a server. */
export interface Panel {
  /** Answers a request. */
  fetch(request: Request): Promise<Response>
  /** Ends the connections of open pages. Call it before the server is closed. */
  close(): Promise<void>
}

/**
 * Creates a control panel for a Maintenance, or for a control of `connectMaintenance()`. Mount its `fetch` under
 * `basePath`; for `node:http`, Express and Nest see `nodeHandler()`, for Fastify `fastifyPanel()`. Nothing is shown
 * to a request for which `authorize` returns undefined. Throws TypeError for invalid options.
 */
export function createPanel(maintenance: MaintenanceControl, options: PanelOptions): Panel {
  const panel = new PanelApplication(maintenance, checkSettings(options))
  return { fetch: (request) => panel.fetch(request), close: () => panel.close() }
}
