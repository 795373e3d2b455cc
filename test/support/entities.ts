import {
  Column,
  DeleteDateColumn,
  Entity,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  Tree,
  TreeChildren,
  TreeParent,
} from "typeorm"

@Entity()
export class Item {
  @PrimaryGeneratedColumn()
  id!: number

  @Column({ unique: true })
  name!: string

  @Column({ default: 0 })
  stock!: number

  @DeleteDateColumn()
  deletedAt!: Date | null

  @ManyToMany(() => Tag, { cascade: true })
  @JoinTable()
  tags!: Tag[]

  @OneToMany(() => Review, (review) => review.item, { cascade: true })
  reviews!: Review[]
}

@Entity()
export class Tag {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  label!: string
}

@Entity()
export class Review {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  text!: string

  @ManyToOne(() => Item, (item) => item.reviews, { onDelete: "CASCADE" })
  item!: Item
}

@Entity()
@Tree("closure-table")
export class Category {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  name!: string

  @TreeChildren({ cascade: true })
  children!: Category[]

  @TreeParent()
  parent!: Category | null
}

/** The entities of the tests. */
export const entities = [Item, Tag, Review, Category]
