import type { Actor } from "../mode/actor"
import type { RefusedChange } from "../mode/refused-change"
import { restrictionOf } from "../mode/restriction"
import type { MaintenanceStatus } from "../mode/status"
import type { Backend } from "../state/fleet"
import type { WireClient } from "../wire/protocol"
import { FencedConnection } from "./fenced-connection"
import type { Enforcement } from "./enforcement"
import type { HostDriver } from "./host"
import { isFencedQueryRunner } from "./query-runner"

/**
 * Listens to the loss of a connection. The pool stops listening when it lends a connection, and the holder begins later:
 * in between, Node would end the process. The next statement fails, and the pool drops the connection.
 */
const lost = () => undefined

/** The physical connections of a DataSource's pools, each with its fence. */
export class Connections {
  readonly #driver: HostDriver
  readonly #fenced = new Map<WireClient, FencedConnection>()
  /**
   * The connections to replicas, where another backend may have the same process id as one on the primary.
   */
  readonly #elsewhere = new WeakSet<WireClient>()

  constructor(driver: HostDriver) {
    this.#driver = driver
  }

  /** The fenced connection of a client, if it has one. */
  get(client: WireClient): FencedConnection | undefined {
    return this.#fenced.get(client)
  }

  /** Fences a physical connection, once. `isNew` tells that it was not used before. */
  fence(client: WireClient, enforcement: Enforcement, isNew = false): FencedConnection {
    const known = this.#fenced.get(client)
    if (known) return known
    const connection = new FencedConnection(client, enforcement, isNew)
    this.#fenced.set(client, connection)
    client.once("end", () => this.#fenced.delete(client))
    client.on("error", lost)
    return connection
  }

  /** Records that a connection is to a replica. */
  markReplica(client: WireClient): void {
    this.#elsewhere.add(client)
  }

  /**
   * The users of the lent connections, one entry a connection; undefined for one that has run nothing yet.
   */
  lentTo(): (Actor | undefined)[] {
    return [...this.#fenced.values()].filter(({ isLent }) => isLent).map(({ lastActor }) => lastActor)
  }

  /** The backends on the primary, and whether their last user is restricted in this state. */
  backends(status: Pick<MaintenanceStatus, "mode" | "maintainer">): Backend[] {
    return [...this.#fenced].flatMap(([client, { backendPid, connectedMs, lastActor }]) => {
      const pid = this.#elsewhere.has(client) ? undefined : backendPid
      const isUnrestricted = lastActor !== undefined && restrictionOf(status, lastActor) === "none"
      return pid === undefined ? [] : [{ pid, connectedMs, isUnrestricted }]
    })
  }

  /** The changes that the ORM has made by the query runner that uses a connection. */
  changesOn(client: WireClient): RefusedChange[] {
    const runner = this.#driver.connectedQueryRunners.find(
      (one) => (one as unknown as { databaseConnection: unknown }).databaseConnection === client,
    )
    return isFencedQueryRunner(runner) ? runner.changes : []
  }

  /** Removes all fences. */
  retire(): void {
    for (const [client, connection] of this.#fenced) {
      client.removeListener("error", lost)
      connection.retire()
    }
    this.#fenced.clear()
  }
}
