import { connectMaintenance, type MaintenanceReport } from "../../index"
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
const checks: readonly Check[] = [
  checkVersions,
  checkStateLocks,
  checkSchema,
  checkPrivileges,
  checkPooler,
  checkClock,
  checkInstances,
  checkWindow,
  checkStandby,
  checkLocks,
  checkPrepared,
  checkLongTransactions,
  checkHeadroom,
]

/** Longest time that a check may take, and wait for a lock, in milliseconds. */
const checkWithinMs = 5000
const lockWithinMs = 1000

/**
 * Examines the database and the installation, and reports each finding as soon as there is one. A server that cannot
 * be reached is a finding, too.
 */
export async function examine(
  target: Target,
  report: (finding: Finding) => void = () => undefined,
): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  const found = (finding: Finding) => {
    findings.push(finding)
    report(finding)
  }
  const client = target.createClient()
  client.on("error", () => undefined)
  try {
    await client.connect()
  } catch (error) {
    found(unreachable(target, error))
    return findings
  }
  try {
    await client.query(`set statement_timeout = ${checkWithinMs}; set lock_timeout = ${lockWithinMs}`)
    const { state, failure } = await readState(target)
    const schema = target.connectOptions.schema ?? "maintenance"
    for (const check of checks) {
      const results = await check({ schema, options: target.options, report: state, client }).catch(
        (error: unknown) => [failed(check, error)],
      )
      results.forEach(found)
    }
    // What the checks have not explained already.
    if (failure && !findings.some(({ severity }) => severity === "error")) found(failure)
    return findings
  } finally {
    await client.end()
  }
}

/** The finding for a check that did not come to an end, as behind a lock. */
function failed(check: Check, error: unknown): Finding {
  return {
    severity: "error",
    check: check.name.replace(/^check/, "").toLowerCase(),
    message: `It could not be examined: ${(error as Error).message}.`,
    remedy: "See the other findings, or examine again later.",
  }
}

function unreachable({ address }: Target, error: unknown): Finding {
  return {
    severity: "error",
    check: "server",
    message: `The server could not be reached (${address}): ${(error as Error).message}`,
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
