import { Socket } from "node:net"
import type { DataSource } from "typeorm"

/** Those that a proxy has opened for somebody else. */
const forOthers = new WeakSet<Socket>()
/** Every DataSource that tests have made, and not lost. */
const dataSources = new Set<WeakRef<DataSource>>()

/** The connections that keep this process alive. Node has no documented way to ask; nothing is patched for this one. */
function open(): Socket[] {
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles: () => unknown[] }
  return handles().filter((handle) => handle instanceof Socket)
}

/** Takes note of a socket that is not of a client in this process. */
export function isForOthers(socket: Socket): Socket {
  forOthers.add(socket)
  return socket
}

/** Takes note of a DataSource, whose pool may open connections for as long as it is initialized. */
export function isKnown(dataSource: DataSource): DataSource {
  dataSources.add(new WeakRef(dataSource))
  return dataSource
}

/** What is open at a moment. */
export interface Moment {
  /** As `performance.now()` tells it. */
  readonly at: number
  readonly sockets: ReadonlySet<Socket>
  readonly dataSources: readonly DataSource[]
}

export function now(): Moment {
  const initialized = [...dataSources].flatMap((reference) => {
    const dataSource = reference.deref()
    if (!dataSource) dataSources.delete(reference)
    return dataSource?.isInitialized ? [dataSource] : []
  })
  return { at: performance.now(), sockets: new Set(open()), dataSources: initialized }
}

/** The sockets that were opened since, are open still, and belong to no pool that there was before. */
export function openedSince({ sockets, dataSources: before }: Moment): Socket[] {
  const pooled = new Set(before.flatMap(socketsOf))
  return open().filter(
    (socket) => !socket.destroyed && !sockets.has(socket) && !pooled.has(socket) && !forOthers.has(socket),
  )
}

/** As much of pg's pool as is looked at. */
interface Pool {
  readonly _clients: readonly { readonly connection: { readonly stream: Socket } }[]
}

function socketsOf({ driver }: DataSource): Socket[] {
  const { master, slaves = [] } = driver as unknown as { master: Pool | undefined; slaves?: readonly Pool[] }
  const pools = master ? [master, ...slaves] : slaves
  return pools.flatMap(({ _clients }) => _clients.map(({ connection }) => connection.stream))
}
