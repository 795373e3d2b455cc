/** Resolves with the next warning of a control panel in this process. */
export function panelWarning(): Promise<Error> {
  return new Promise((resolve) => {
    const listener = (warning: Error) => {
      if (!warning.message.startsWith("The control panel failed")) return
      process.off("warning", listener)
      resolve(warning)
    }
    process.on("warning", listener)
  })
}
