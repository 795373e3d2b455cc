import { exitCode } from "./exit-code"

/** Thrown when the user has answered no. */
export class Declined extends Error {
  readonly exitCode = exitCode.declined

  constructor() {
    super("Nothing was changed.")
  }
}
