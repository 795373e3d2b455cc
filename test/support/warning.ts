/** The next process warning that reads so. */
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

const ownType = "MaintenanceWarning"

/** Keeps the package's own warnings, which tests provoke by the hundred, out of the output; those of the processes started, too. */
export function silenceOwnWarnings(): void {
  process.env["NODE_OPTIONS"] = `${process.env["NODE_OPTIONS"] ?? ""} --disable-warning=${ownType}`
  const printers = process.listeners("warning")
  process.removeAllListeners("warning")
  process.on("warning", (given) => {
    if (given.name !== ownType) for (const print of printers) print(given)
  })
}
