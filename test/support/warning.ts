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
