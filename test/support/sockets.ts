import { Socket } from "node:net"
import type { DataSource } from "typeorm"

/** Sockets that a proxy has opened for other processes. */
const forOthers = new WeakSet<Socket>()
/** Every DataSource that tests have created and that is still alive. */
const dataSources = new Set<WeakRef<DataSource>>()

/**
 * The connections that keep this process alive. Node has no documented API for them, and this one requires no
 * patch.
 */
function open(): Socket[] {
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles: () => unknown[] }
  return handles().filter((handle) => handle instanceof Socket)
}

/** Marks a socket that does not belong to a client in this process. */
export function isForOthers(socket: Socket): Socket {
  forOthers.add(socket)
  return socket
}

/** Registers a DataSource, whose pool may open connections while it is initialized. */
export function isKnown(dataSource: DataSource): DataSource {
  dataSources.add(new WeakRef(dataSource))
  return dataSource
}

/** The open resources at a moment. */
export interface Moment {
  /** Time by `performance.now()`. */
  readonly at: number
  readonly sockets: ReadonlySet<Socket>
  readonly dataSources: readonly DataSource[]
}

/** The open resources at this moment. */
export function now(): Moment {
  const initialized = [...dataSources].flatMap((reference) => {
    const dataSource = reference.deref()
    if (!dataSource) dataSources.delete(reference)
    return dataSource?.isInitialized ? [dataSource] : []
  })
  return { at: performance.now(), sockets: new Set(open()), dataSources: initialized }
}

/** The sockets opened since a moment that are still open and belong to no earlier pool. */
export function openedSince({ sockets, dataSources: before }: Moment): Socket[] {
  const pooled = new Set(before.flatMap(socketsOf))
  return open().filter(
    (socket) => !socket.destroyed && !sockets.has(socket) && !pooled.has(socket) && !forOthers.has(socket),
  )
}

/** The part of pg's pool that is inspected. */
interface Pool {
  readonly _clients: readonly { readonly connection: { readonly stream: Socket } }[]
}

function socketsOf({ driver }: DataSource): Socket[] {
  const { master, slaves = [] } = driver as unknown as { master: Pool | undefined; slaves?: readonly Pool[] }
  const pools = master ? [master, ...slaves] : slaves
  return pools.flatMap(({ _clients }) => _clients.map(({ connection }) => connection.stream))
}
