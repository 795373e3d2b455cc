import { Column, DataSource, Entity, Index, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm"
import { installMaintenance, type Maintenance } from "../../src"

/** A product of the shop. */
@Entity()
export class Product {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  name!: string

  @Column()
  priceInCents!: number

  /** Incremented by every sale. It equals the number of rows of Sale, stored elsewhere. */
  @Column({ default: 0 })
  sold!: number
}

/**
 * The catalog entry that customers see for a product. Every sale updates it, and a rebuild creates it anew.
 */
@Entity()
export class CatalogEntry {
  @PrimaryColumn()
  productId!: number

  @Column()
  title!: string

  @Column()
  searchWords!: string

  @Column()
  priceInCents!: number

  @Column()
  sold!: number
}

/** The log of sales, with the process that wrote each one. */
@Entity()
export class Sale {
  @PrimaryGeneratedColumn()
  id!: number

  @Index()
  @Column()
  productId!: number

  @Column()
  branch!: string
}

/** The shop's database, with the plugin installed. */
export interface Shop {
  readonly dataSource: DataSource
  readonly maintenance: Maintenance
}

/** Connects to the shop. Every process of the demo does so once. */
export async function openShop(url: string, synchronize = false): Promise<Shop> {
  const entities = [Product, CatalogEntry, Sale]
  const dataSource = new DataSource({ type: "postgres", url, entities, synchronize, poolSize: 5 })
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  return { dataSource, maintenance }
}
