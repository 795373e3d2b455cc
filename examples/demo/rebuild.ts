import type { EntityManager } from "typeorm"
import type { Maintenance } from "../../src"
import { describe, productCount } from "./products"
import { CatalogEntry, Product, Sale } from "./shop"

/** The progress of a rebuild of the catalog. */
export interface Rebuild {
  attempts: number
  /** Number of attempts that PostgreSQL ended because of a conflict: 40001, or a deadlock. */
  conflicts: number
  /** Number of products that the running attempt has read. */
  productsRead: number
  /** Duration of the successful attempt, in milliseconds. Undefined until there is one. */
  finishedInMs?: number
  /** Whether the rebuild was given up, so that no further attempt begins. */
  isGivenUp: boolean
}

/** Creates the record of a rebuild that has not begun. */
export function newRebuild(): Rebuild {
  return { attempts: 0, conflicts: 0, productsRead: 0, isGivenUp: false }
}

class TimeIsUp extends Error {}

/**
 * Rebuilds the catalog in one serializable transaction, and retries it after each conflict. When the time is
 * up no further attempt begins, but the one under way continues.
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

/** Reads every product and its sales, then writes every entry. */
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

/** Describes the rebuild for a progress line. */
export function describeProgress({ attempts, productsRead, finishedInMs, isGivenUp }: Rebuild): string {
  if (finishedInMs !== undefined) return `rebuild done in ${seconds(finishedInMs)}`
  if (isGivenUp) return `rebuild given up after attempt ${attempts}`
  return `attempt ${attempts}: ${productsRead} of ${productCount} read`
}

/** Describes the end of the rebuild in a sentence. */
export function describeEnd({ attempts, conflicts, finishedInMs }: Rebuild): string {
  if (finishedInMs !== undefined)
    return `the rebuild finished in ${seconds(finishedInMs)}, in attempt ${attempts}`
  return `the rebuild did not finish: ${attempts} attempts, ${conflicts} of them ended in a conflict`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
