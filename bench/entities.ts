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

/** Creates unused entities, as a large application has them beside the measured one. */
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

/**
 * The usual first attempt at maintenance mode: reading the mode before each commit. It misses changes between
 * that read and the commit.
 */
export class NaiveSubscriber implements EntitySubscriberInterface {
  async beforeTransactionCommit({ queryRunner }: TransactionCommitEvent): Promise<void> {
    const [row] = await queryRunner.query("select mode from naive_mode")
    if (row.mode !== "normal") throw new Error("read-only")
  }
}
