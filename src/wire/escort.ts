import type { Step } from "./protocol"

/** Work that accompanies a caller's submittable. */
export interface Escort {
  /** A step that is sent before the submittable's Sync. */
  readonly step?: Step | undefined
  /**
   * Returns the error to report to the submittable in place of the given one. `isOfStep` tells whether that
   * is the step's.
   */
  translate?(error: Error, isOfStep: boolean): Error
  /** Whether to send everything by the extended protocol, which takes only one statement. */
  readonly isExtended?: boolean
  /** Called before each portion of rows. An error that it returns ends the submittable. */
  refuse?(): Error | undefined
  /**
   * Called when the server has finished the submittable, before that is reported to it. A rejection becomes
   * the submittable's error.
   */
  conclude?(): Promise<unknown>
}
