import { Column, DataSource, Entity, Index, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm"
import { installMaintenance, type Maintenance } from "../../src"

/** Something that the shop sells. */
@Entity()
export class Product {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  name!: string

  @Column()
  priceInCents!: number

  /** Goes up by one with every sale: counts the same as the rows of Sale, in another place. */
  @Column({ default: 0 })
  sold!: number
}

/** What customers see of a product: brought up to date by every sale, and made anew by a rebuild. */
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

/** The log of what was sold, and which process wrote it. */
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

/** Connects to the shop; every process of the demo does it once. */
export async function openShop(url: string, synchronize = false): Promise<Shop> {
  const entities = [Product, CatalogEntry, Sale]
  const dataSource = new DataSource({ type: "postgres", url, entities, synchronize, poolSize: 5 })
  const maintenance = installMaintenance(dataSource)
  await dataSource.initialize()
  return { dataSource, maintenance }
}
