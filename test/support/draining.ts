import type { Draining, Maintenance } from "../../src"

/** The first that is told of who is in the way; with a count, of so many. */
export function firstDraining(maintenance: Maintenance, count?: number): Promise<Draining> {
  return new Promise((resolve) => {
    const stop = maintenance.on("draining", (draining) => {
      if (count !== undefined && draining.blockers.length !== count) return
      stop()
      resolve(draining)
    })
  })
}
