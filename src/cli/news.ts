import type { MaintenanceControl } from "../index"

/** Resolves when the mode has changed, or after a time in milliseconds. Rejects when it is aborted. */
export function newsWithin(control: MaintenanceControl, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      stop()
      signal.removeEventListener("abort", abort)
    }
    const abort = () => {
      end()
      reject(signal.reason as Error)
    }
    const heard = () => {
      end()
      resolve()
    }
    const timer = setTimeout(heard, ms)
    const stop = control.on("change", heard)
    signal.addEventListener("abort", abort)
    if (signal.aborted) abort()
  })
}
