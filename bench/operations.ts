import type { DataSource } from "typeorm"
import { productCount } from "./contenders"
import { Product } from "./entities"

/** One call of the public API. `n` differs from call to call. */
export type Operation = (dataSource: DataSource, n: number) => Promise<unknown>

const idOf = (n: number) => (n % productCount) + 1

/** The measured operations, by name. */
export const operations = {
  findOneBy: (d, n) => d.getRepository(Product).findOneBy({ id: idOf(n) }),
  "insert by query builder": (d, n) =>
    d
      .createQueryBuilder()
      .insert()
      .into(Product)
      .values({ name: `new ${n}` })
      .execute(),
  "update by query builder": (d, n) =>
    d
      .createQueryBuilder()
      .update(Product)
      .set({ stock: n % 1000 })
      .where("id = :id", { id: idOf(n) })
      .execute(),
  "save of a new entity": (d, n) => d.getRepository(Product).save({ name: `new ${n}` }),
  "read and save in a transaction": (d, n) =>
    d.transaction(async (manager) => {
      const product = await manager.findOneByOrFail(Product, { id: idOf(n) })
      product.stock = (product.stock + 1) % 1_000_000
      await manager.save(product)
    }),
  "REPEATABLE READ transaction": (d, n) =>
    d.transaction("REPEATABLE READ", (manager) => manager.findOneBy(Product, { id: idOf(n) })),
} satisfies Record<string, Operation>
