import { Item } from "../support/entities"
import { type Doors, items } from "./door"

/** Query builders, one statement each. */
export const queryBuilderDoors: Doors = {
  "insert query builder": {
    run: (d) => d.createQueryBuilder().insert().into(Item).values({ name: "crate" }).execute(),
  },
  "insert query builder with returning": {
    run: (d) => d.createQueryBuilder().insert().into(Item).values({ name: "crate" }).returning("*").execute(),
  },
  "insert query builder that ignores conflicts": {
    run: (d) =>
      d
        .createQueryBuilder()
        .insert()
        .into(Item)
        .values([{ name: "anvil" }, { name: "crate" }])
        .orIgnore()
        .execute(),
  },
  "update query builder": {
    run: (d) => d.createQueryBuilder().update(Item).set({ stock: 1 }).where("id = 1").execute(),
  },
  "update query builder with returning": {
    run: (d) =>
      d.createQueryBuilder().update(Item).set({ stock: 1 }).where("id = 1").returning("id, stock").execute(),
  },
  "delete query builder": {
    run: (d) => d.createQueryBuilder().delete().from(Item).where("id = 1").execute(),
  },
  "soft-delete query builder": {
    run: (d) => items(d).createQueryBuilder().softDelete().where("id = 1").execute(),
  },
  "restore query builder": {
    run: (d) => items(d).createQueryBuilder().restore().where("id = 2").execute(),
  },
  "query builder in its own transaction": {
    run: (d) =>
      d.createQueryBuilder().insert().into(Item).values({ name: "crate" }).useTransaction(true).execute(),
  },
  "find with a writing function": {
    run: (d) => items(d).createQueryBuilder("i").where("write_audit(i.name) is not null").getMany(),
  },
  "find with a pessimistic lock": {
    run: (d) =>
      d.transaction((m) => m.findOne(Item, { where: { id: 1 }, lock: { mode: "pessimistic_write" } })),
    changesNothing: "a locked row looks the same; taken for a write, as documented",
  },
}
