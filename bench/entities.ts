import {
  Column,
  Entity,
  EntitySchema,
  type EntitySubscriberInterface,
  PrimaryGeneratedColumn,
  type TransactionCommitEvent,
} from "typeorm"

@Entity()
export class Product {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  name!: string

  @Column({ default: 0 })
  stock!: number
}

/** So many entities that nobody uses, as large applications have them beside the one that is measured. */
export function bystanders(count: number): EntitySchema[] {
  return Array.from(
    { length: count },
    (_, n) =>
      new EntitySchema({
        name: `bystander_${n}`,
        columns: { id: { type: Number, primary: true, generated: true }, name: { type: String } },
      }),
  )
}

/** What many write first: a look at the mode before each commit. It leaks what commits just after the look. */
export class NaiveSubscriber implements EntitySubscriberInterface {
  async beforeTransactionCommit({ queryRunner }: TransactionCommitEvent): Promise<void> {
    const [row] = await queryRunner.query("select mode from naive_mode")
    if (row.mode !== "normal") throw new Error("read-only")
  }
}
