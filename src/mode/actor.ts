/** The user for whom a statement runs, as passed to the fence. */
export interface Actor {
  /** The user for whom the running code acts, if known. */
  readonly user: string | undefined
  /** Whether that user is listed in `emergencyUsers`. */
  readonly isEmergency: boolean
}
