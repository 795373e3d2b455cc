import { Between } from "typeorm"
import { productCount } from "./products"
import { CatalogEntry, Product, Sale, type Shop } from "./shop"

const pageLength = 20

/** Reads a page of the catalog, as a customer does. */
export async function browse({ dataSource }: Shop): Promise<void> {
  const first = anyProduct()
  await dataSource.getRepository(CatalogEntry).find({
    where: { productId: Between(first, first + pageLength - 1) },
    order: { productId: "ASC" },
  })
}

/** Sells one piece, logs the sale and updates the catalog, as a clerk does, in one transaction. */
export function sell({ maintenance }: Shop, branch: string): Promise<void> {
  const id = anyProduct()
  return maintenance.transaction(
    async (manager) => {
      const product = await manager.findOneByOrFail(Product, { id })
      const sold = product.sold + 1
      await manager.update(Product, { id }, { sold })
      await manager.update(CatalogEntry, { productId: id }, { sold })
      await manager.insert(Sale, { productId: id, branch })
    },
    { isolation: "SERIALIZABLE", retries: 20 },
  )
}

function anyProduct(): number {
  return 1 + Math.floor(Math.random() * productCount)
}
