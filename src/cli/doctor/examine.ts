import type { Client } from "pg"
import { connectMaintenance, type MaintenanceReport } from "../../index"
import { isPassing, sqlStateOf } from "../server-error"
import { readStatus } from "../session"
import type { Target } from "../target"
import { checkClock, checkHeadroom, checkPooler, checkStandby } from "./connection"
import type { Check } from "./examination"
import type { Finding } from "./finding"
import { checkPrivileges } from "./privileges"
import { checkSchema } from "./schema"
import { checkLocks, checkLongTransactions, checkPrepared, checkStateLocks } from "./sessions"
import { checkInstances, checkVersions } from "./versions"
import { checkWindow } from "./window"

/** The checks, in the order in which their findings are shown. */
const checks: readonly { readonly name: string; readonly run: Check }[] = [
  { name: "server", run: checkVersions },
  { name: "locks", run: checkStateLocks },
  { name: "schema", run: checkSchema },
  { name: "privileges", run: checkPrivileges },
  { name: "pooler", run: checkPooler },
  { name: "clock", run: checkClock },
  { name: "instances", run: checkInstances },
  { name: "window", run: checkWindow },
  { name: "standby", run: checkStandby },
  { name: "locks", run: checkLocks },
  { name: "prepared", run: checkPrepared },
  { name: "transactions", run: checkLongTransactions },
  { name: "connections", run: checkHeadroom },
]

/** Longest time that a check may take, and wait for a lock, in milliseconds. */
const checkWithinMs = 5000
const lockWithinMs = 1000

/** The result of `examine()`. */
export interface Examined {
  readonly findings: readonly Finding[]
  /** Whether the server did not answer, or not to the end. */
  readonly isUnavailable: boolean
}

/**
 * Examines the database and the installation, and reports each finding as soon as there is one. A server that cannot
 * be reached is a finding, too.
 */
export async function examine(
  target: Target,
  report: (finding: Finding) => void = () => undefined,
): Promise<Examined> {
  const findings: Finding[] = []
  const found = (finding: Finding) => {
    findings.push(finding)
    report(finding)
  }
  const client = target.createClient()
  // The next query rejects.
  client.on("error", () => undefined)
  try {
    await client.connect()
    await client.query(`set statement_timeout = ${checkWithinMs}; set lock_timeout = ${lockWithinMs}`)
    await examineOver(client, { target, findings, found })
    return { findings, isUnavailable: false }
  } catch (error) {
    found(unreachable(target, error))
    return { findings, isUnavailable: isPassing(error) }
  } finally {
    await client.end()
  }
}

interface Findings {
  readonly target: Target
  readonly findings: readonly Finding[]
  readonly found: (finding: Finding) => void
}

/** Runs the checks over a connection. Throws if the connection is lost. */
async function examineOver(client: Client, { target, findings, found }: Findings): Promise<void> {
  const { state, failure } = await readState(target)
  const schema = target.connectOptions.schema ?? "maintenance"
  for (const { name, run } of checks) {
    const results = await run({ schema, options: target.options, report: state, client }).catch(
      (error: unknown) => {
        if (sqlStateOf(error) === undefined) throw error
        return [failed(name, error)]
      },
    )
    results.forEach(found)
  }
  // What the checks have not explained already.
  if (failure && !findings.some(({ severity }) => severity === "error")) found(failure)
}

/** The finding for a check that did not come to an end, as behind a lock. */
function failed(check: string, error: unknown): Finding {
  return {
    severity: "error",
    check,
    message: `It could not be examined: ${sentence(error)}`,
    remedy: "See the other findings, or examine again later.",
  }
}

/** The message of an error, which may or may not end with a full stop. */
function sentence(error: unknown): string {
  return `${(error as Error).message.replace(/\.$/, "")}.`
}

function unreachable({ address }: Target, error: unknown): Finding {
  return {
    severity: "error",
    check: "server",
    message: `The server could not be reached (${address}): ${sentence(error)}`,
    remedy: "Check the address, the password and the network.",
  }
}

/** Reads the state by the plugin's own way. */
async function readState(target: Target): Promise<{ state?: MaintenanceReport; failure?: Finding }> {
  try {
    const control = await connectMaintenance(
      (settings) => target.createClient(settings),
      target.connectOptions,
    )
    try {
      return { state: await readStatus(control) }
    } finally {
      await control.close()
    }
  } catch (error) {
    return { failure: { severity: "error", check: "state", message: (error as Error).message } }
  }
}
