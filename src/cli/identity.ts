import { userInfo } from "node:os"
import { InputFault } from "./input-fault"

/** The user who acts, and the source of the name. */
export interface Identity {
  readonly user: string
  readonly from: string
}

/** The user who acts: `--as`, or else `MAINTENANCE_USER`, or else the user of the operating system. */
export function identityOf(as: string | undefined): Identity {
  if (as !== undefined) return { user: as, from: "--as" }
  const { MAINTENANCE_USER: user } = process.env
  if (user) return { user, from: "MAINTENANCE_USER" }
  const system = systemUser()
  if (system !== undefined) return { user: system, from: "the operating system" }
  throw new InputFault("The user who acts is not known. Name it with --as, or set MAINTENANCE_USER.")
}

/** The user of this process on this machine, if the machine knows its name. */
export function systemUser(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}
