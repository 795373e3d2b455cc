import { type ConnectedControl, connectMaintenance, type MaintenanceReport } from "../index"
import { hostname } from "node:os"
import { type Identity, identityOf } from "./identity"
import { plain } from "./plain"
import { note } from "./screen"
import { findTarget, type Target, type TargetOptions } from "./target"

/** Options of every command that connects. */
export interface SessionOptions extends TargetOptions {
  readonly json?: boolean | undefined
}

/** Options of every command that acts for a user. */
export interface ActingOptions extends SessionOptions {
  readonly as?: string | undefined
  readonly emergency?: boolean | undefined
}

/** A command's connection to the state. */
export interface Session {
  readonly control: ConnectedControl
  readonly target: Target
}

/** Runs a command that only reads. */
export async function withSession<T>(
  options: SessionOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const target = await findTarget(options)
  if (!options.json) sayTarget(target)
  return connected(target, {}, work)
}

/** Runs a command that acts for a user. Says for whom, and on what, before anything is changed. */
export async function withActor<T>(
  options: ActingOptions,
  work: (session: Session & { readonly identity: Identity }) => Promise<T>,
): Promise<T> {
  const target = await findTarget(options)
  const identity = identityOf(options.as)
  if (!options.json) {
    sayTarget(target)
    note(
      `Acting as ${plain(identity.user)} (from ${identity.from})${options.emergency ? ", as an emergency user" : ""}.`,
    )
  }
  const emergency = options.emergency ? { emergencyUsers: [identity.user] } : {}
  return connected(target, emergency, (session) => work({ ...session, identity }))
}

/** The status, without this command's own connection among the instances. */
export async function readStatus(control: ConnectedControl): Promise<MaintenanceReport> {
  const report = await control.status()
  const isOwn = ({ host, pid }: { host: string; pid: number }) => host === hostname() && pid === process.pid
  return { ...report, instances: report.instances.filter((instance) => !isOwn(instance)) }
}

/** Runs work with a connection to the state. */
export async function connected<T>(
  target: Target,
  options: { emergencyUsers?: string[] },
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const control = await connectMaintenance((settings) => target.createClient(settings), {
    ...target.connectOptions,
    ...options,
  })
  try {
    return await work({ control, target })
  } finally {
    await control.close()
  }
}

/** Says which database is used, and why. */
export function sayTarget({ address, from, remark }: Target): void {
  note(`Using ${plain(address)} (from ${plain(from)}).`)
  if (remark) note(remark)
}
