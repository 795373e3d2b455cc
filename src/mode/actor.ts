/** Who runs a statement, as the fence is told. */
export interface Actor {
  /** Whom the running code acts for, if it is known. */
  readonly user: string | undefined
  /** Whether that user is named in `emergencyUsers`. */
  readonly isEmergency: boolean
}
