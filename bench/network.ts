import { fork } from "node:child_process"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { join } from "node:path"

/** A route to a server: direct, or through a proxy that delays each round trip. */
export interface Network {
  readonly url: string
  close(): void
}

/** Opens a route with this delay, in whole milliseconds. */
export async function network(url: string, delayMs: number): Promise<Network> {
  if (delayMs === 0) return { url, close: () => undefined }
  const proxied = new URL(url)
  const child = fork(join(__dirname, "delaying-proxy.js"), [proxied.port, String(delayMs)])
  const [{ port }] = (await once(child, "message")) as [AddressInfo]
  proxied.port = String(port)
  return { url: proxied.toString(), close: () => child.disconnect() }
}
