import type { Draining, Maintenance } from "../../src"

/** The first report of a drain or, with `count`, the first one with that number of blockers. */
export function firstDraining(maintenance: Maintenance, count?: number): Promise<Draining> {
  return new Promise((resolve) => {
    const stop = maintenance.on("draining", (draining) => {
      if (count !== undefined && draining.blockers.length !== count) return
      stop()
      resolve(draining)
    })
  })
}
