/** Reverts a change. */
export type Undo = () => void

/**
 * Replaces a method on one object, leaving its class alone. `replacement` receives the original method.
 * Returns the undo, which restores the object.
 */
export function replaceMethod<Host extends object, Name extends keyof Host>(
  host: Host,
  name: Name,
  replacement: (original: Host[Name]) => Host[Name],
): Undo {
  const own = Object.getOwnPropertyDescriptor(host, name)
  const value = replacement(host[name])
  Object.defineProperty(host, name, { value, configurable: true, writable: true, enumerable: false })
  return () => {
    if (own) Object.defineProperty(host, name, own)
    else delete host[name]
  }
}
