/** A process in which the plugin is installed; several, if it is in several of its DataSources. */
export interface Instance {
  /** Counts the instances that there ever were. */
  readonly id: number
  /** The name of its machine. */
  readonly host: string
  /** Its process id there. */
  readonly pid: number
  /** Its version of this package. */
  readonly version: string
  /** Since when its watch is connected, on the database's clock. */
  readonly since: Date
  /** The epoch of the state that it knows, and refuses early by. */
  readonly epoch: number
  /** How often it has refused something since it started; told within 10 seconds. */
  readonly refusals: number
}
