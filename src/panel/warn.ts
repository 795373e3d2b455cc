/** Reports an error of the panel as a process warning. */
export function warn(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.emitWarning(`The control panel failed: ${text}`, "MaintenanceWarning")
}
