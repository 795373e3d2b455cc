import { Product, Sale, type Shop } from "./shop"

/** How much was sold, by two records of the database that every sale changes together. */
export interface Sales {
  /** The rows of the log. */
  readonly logged: number
  /** The sum of what the products say was sold of them. */
  readonly counted: number
}

/** Reads from the database how much was sold by now; only the branches sell. */
export async function salesIn({ dataSource }: Shop): Promise<Sales> {
  const logged = await dataSource.getRepository(Sale).count()
  const counted = await dataSource.getRepository(Product).sum("sold")
  return { logged, counted: counted ?? 0 }
}

/** How many products the catalog describes wrongly, or not at all. */
export async function catalogErrors({ dataSource }: Shop): Promise<number> {
  const [row]: { errors: number }[] = await dataSource.query(
    `select count(*)::int as errors from product p left join catalog_entry c on c."productId" = p.id
     where (c."priceInCents", c.sold) is distinct from (p."priceInCents", p.sold)`,
  )
  return row?.errors ?? Number.NaN
}
