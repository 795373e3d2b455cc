import type { DataSource } from "typeorm"
import { CatalogEntry, Product } from "./shop"

/** Number of products in the shop. */
export const productCount = 1200

const colours = ["Amber", "Black", "Blue", "Green", "Grey", "Ivory", "Red", "Silver", "White", "Yellow"]
const things = [
  "bowl",
  "chair",
  "clock",
  "cup",
  "jug",
  "kettle",
  "lamp",
  "mirror",
  "pan",
  "rug",
  "shelf",
  "table",
]

/** Inserts the products and a first catalog. */
export async function stockShop(dataSource: DataSource): Promise<void> {
  const products = await dataSource.getRepository(Product).save(
    Array.from({ length: productCount }, (_, index) => ({ name: nameOf(index), priceInCents: 500 + index })),
    { chunk: 500 },
  )
  await dataSource.getRepository(CatalogEntry).insert(products.map((product) => describe(product, 0)))
}

/** The catalog entry of a product. */
export function describe({ id, name, priceInCents }: Product, sold: number): CatalogEntry {
  const searchWords = [...new Set(name.toLowerCase().split(/\W+/))].toSorted().join(" ")
  return {
    productId: id,
    title: `${name}, ${(priceInCents / 100).toFixed(2)}`,
    searchWords,
    priceInCents,
    sold,
  }
}

function nameOf(index: number): string {
  const colour = colours[index % colours.length]
  const thing = things[Math.floor(index / colours.length) % things.length]
  return `${colour} ${thing} no. ${index + 1}`
}
