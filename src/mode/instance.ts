/** A DataSource in which the plugin is installed and whose watch is connected. A process may run several. */
export interface Instance {
  /** Number of the instance. Every registration takes a new one. */
  readonly id: number
  /** Name of its host. */
  readonly host: string
  /** Its process id on that host. */
  readonly pid: number
  /** Its version of this package. */
  readonly version: string
  /** Time at which its watch connected, on the database's clock. */
  readonly since: Date
  /** Epoch of the state that it knows, and on which it bases early refusals. */
  readonly epoch: number
  /** Number of its refusals since it started; at most 10 seconds old. */
  readonly refusals: number
}
