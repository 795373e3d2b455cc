import { connectMaintenance, type MaintenanceReport } from "../../index"
import { readStatus } from "../session"
import type { Target } from "../target"
import { checkClock, checkHeadroom, checkPooler, checkStandby } from "./connection"
import type { Check } from "./examination"
import type { Finding } from "./finding"
import { checkPrivileges } from "./privileges"
import { checkSchema } from "./schema"
import { checkLocks, checkLongTransactions, checkPrepared } from "./sessions"
import { checkInstances, checkVersions } from "./versions"
import { checkWindow } from "./window"

/** The checks, in the order in which their findings are shown. */
const checks: readonly Check[] = [
  checkVersions,
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

/** Examines the database and the installation. A server that cannot be reached is a finding, too. */
export async function examine(target: Target): Promise<readonly Finding[]> {
  const client = target.createClient()
  client.on("error", () => undefined)
  try {
    await client.connect()
  } catch (error) {
    return [unreachable(target, error)]
  }
  try {
    const { report, failure } = await readReport(target)
    const schema = target.connectOptions.schema ?? "maintenance"
    const findings: Finding[] = []
    for (const check of checks) findings.push(...(await check({ schema, report, client })))
    // What the checks have not explained already.
    const isExplained = findings.some(({ severity }) => severity === "error")
    return failure && !isExplained ? [...findings, failure] : findings
  } finally {
    await client.end()
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
async function readReport(target: Target): Promise<{ report?: MaintenanceReport; failure?: Finding }> {
  try {
    const control = await connectMaintenance(
      (settings) => target.createClient(settings),
      target.connectOptions,
    )
    try {
      return { report: await readStatus(control) }
    } finally {
      await control.close()
    }
  } catch (error) {
    return { failure: { severity: "error", check: "state", message: (error as Error).message } }
  }
}
