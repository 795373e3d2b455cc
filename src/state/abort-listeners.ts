/** The listeners of each signal. */
const listeners = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * Calls back when a signal is aborted; returns the undo.
 *
 * It serves signals that last as long as the process and have many listeners. They share one listener on the
 * signal, because Node warns of more than ten. AbortSignal.any() would leave something behind each time (Node
 * 20).
 */
export function onAborted(signal: AbortSignal, listener: () => void): () => void {
  const all = listeners.get(signal) ?? listenTo(signal)
  all.add(listener)
  return () => void all.delete(listener)
}

function listenTo(signal: AbortSignal): Set<() => void> {
  const all = new Set<() => void>()
  listeners.set(signal, all)
  const tell = () => {
    for (const listener of all) listener()
  }
  signal.addEventListener("abort", tell, { once: true })
  return all
}
