import { Product, Sale, type Shop } from "./shop"

/** The number of sales, by two records in the database that every sale changes together. */
export interface Sales {
  /** The number of rows in the log. */
  readonly logged: number
  /** The sum of the products' own counters. */
  readonly counted: number
}

/** Reads the number of sales so far. Only the branches sell. */
export async function salesIn({ dataSource }: Shop): Promise<Sales> {
  const logged = await dataSource.getRepository(Sale).count()
  const counted = await dataSource.getRepository(Product).sum("sold")
  return { logged, counted: counted ?? 0 }
}

/** Counts the products whose catalog entry is wrong or missing. */
export async function catalogErrors({ dataSource }: Shop): Promise<number> {
  const [row]: { errors: number }[] = await dataSource.query(
    `select count(*)::int as errors from product p left join catalog_entry c on c."productId" = p.id
     where (c."priceInCents", c.sold) is distinct from (p."priceInCents", p.sold)`,
  )
  return row?.errors ?? Number.NaN
}
