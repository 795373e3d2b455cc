import { userInfo } from "node:os"
import { InputFault } from "./input-fault"

/** Who acts, and where that was taken from. */
export interface Identity {
  readonly user: string
  readonly from: string
}

/** The user who acts: `--as`, or else `MAINTENANCE_USER`, or else the user of the operating system. */
export function identityOf(as: string | undefined): Identity {
  if (as !== undefined) return { user: as, from: "--as" }
  const { MAINTENANCE_USER: user } = process.env
  if (user) return { user, from: "MAINTENANCE_USER" }
  try {
    return { user: userInfo().username, from: "the operating system" }
  } catch {
    throw new InputFault("The user who acts is not known. Name it with --as, or set MAINTENANCE_USER.")
  }
}
