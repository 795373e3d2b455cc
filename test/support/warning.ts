/** The next process warning that matches. */
export function warning(text: RegExp): Promise<string> {
  return new Promise((resolve) => {
    const listen = ({ message }: Error) => {
      if (!text.test(message)) return
      process.removeListener("warning", listen)
      resolve(message)
    }
    process.on("warning", listen)
  })
}

/** Runs work, and resolves with the process warnings until then. `work` is passed the same list. */
export async function warningsDuring(
  work: (warnings: readonly string[]) => Promise<unknown>,
): Promise<string[]> {
  const warnings: string[] = []
  const listen = ({ message }: Error) => void warnings.push(message)
  process.on("warning", listen)
  try {
    await work(warnings)
  } finally {
    process.removeListener("warning", listen)
  }
  return warnings
}

const ownType = "MaintenanceWarning"
const disabling = ` --disable-warning=${ownType}`
/** A warning of pg about concurrent calls on one client, which tests make on purpose. */
const ofSeveralCalls = /^Calling client\.query\(\) when the client is already executing a query is deprecated/

/**
 * Keeps the hundreds of warnings that tests provoke out of the output. In child processes, this applies to
 * the package's own.
 */
export function silenceProvokedWarnings(): void {
  process.env["NODE_OPTIONS"] = `${process.env["NODE_OPTIONS"] ?? ""}${disabling}`
  const printers = process.listeners("warning")
  process.removeAllListeners("warning")
  process.on("warning", (given) => {
    const isProvoked = given.name === ownType || ofSeveralCalls.test(given.message)
    if (!isProvoked) for (const print of printers) print(given)
  })
}

/** The environment for a child process that prints the package's own warnings. */
export function warningEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, NODE_OPTIONS: process.env["NODE_OPTIONS"]?.replaceAll(disabling, "") }
}
