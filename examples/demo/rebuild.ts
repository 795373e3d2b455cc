import type { EntityManager } from "typeorm"
import type { Maintenance } from "../../src"
import { describe, productCount } from "./products"
import { CatalogEntry, Product, Sale } from "./shop"

/** How a rebuild of the catalog went, or goes. */
export interface Rebuild {
  attempts: number
  /** How many attempts PostgreSQL ended, because what they rest on had changed: 40001, or a deadlock. */
  conflicts: number
  /** How many products the running attempt has read. */
  productsRead: number
  /** How long the attempt took that finished; undefined as long as none has. */
  finishedInMs?: number
  /** Set once it is given up: no attempt begins any more. */
  isGivenUp: boolean
}

/** A rebuild that has not begun. */
export function newRebuild(): Rebuild {
  return { attempts: 0, conflicts: 0, productsRead: 0, isGivenUp: false }
}

class TimeIsUp extends Error {}

/**
 * Rebuilds the catalog in one serializable transaction, again after each conflict. When the time is up no attempt
 * begins any more, but the one under way may go on to its end.
 */
export async function rebuildCatalog(
  maintenance: Maintenance,
  rebuild: Rebuild,
  withinMs: number,
): Promise<void> {
  const endsAt = performance.now() + withinMs
  let beganAt = 0
  const attempt = async (manager: EntityManager) => {
    rebuild.conflicts = rebuild.attempts
    if (performance.now() > endsAt) throw new TimeIsUp()
    rebuild.attempts++
    beganAt = performance.now()
    await writeCatalog(manager, rebuild)
  }
  try {
    await maintenance.transaction(attempt, { isolation: "SERIALIZABLE", retries: 10_000 })
    rebuild.finishedInMs = performance.now() - beganAt
  } catch (error) {
    rebuild.isGivenUp = true
    if (!(error instanceof TimeIsUp)) throw error
  }
}

/** Reads every product and what was sold of it, then writes every entry. */
async function writeCatalog(manager: EntityManager, rebuild: Rebuild): Promise<void> {
  rebuild.productsRead = 0
  const entries: CatalogEntry[] = []
  for (const product of await manager.find(Product, { order: { id: "ASC" } })) {
    const sold = await manager.countBy(Sale, { productId: product.id })
    entries.push(describe(product, sold))
    rebuild.productsRead++
  }
  await manager.upsert(CatalogEntry, entries, ["productId"])
}

/** The rebuild in the words of a progress line. */
export function describeProgress({ attempts, productsRead, finishedInMs, isGivenUp }: Rebuild): string {
  if (finishedInMs !== undefined) return `rebuild done in ${seconds(finishedInMs)}`
  if (isGivenUp) return `rebuild given up after attempt ${attempts}`
  return `attempt ${attempts}: ${productsRead} of ${productCount} read`
}

/** How the rebuild ended, as a sentence. */
export function describeEnd({ attempts, conflicts, finishedInMs }: Rebuild): string {
  if (finishedInMs !== undefined)
    return `the rebuild finished in ${seconds(finishedInMs)}, in attempt ${attempts}`
  return `the rebuild did not finish: ${attempts} attempts, ${conflicts} of them ended in a conflict`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
