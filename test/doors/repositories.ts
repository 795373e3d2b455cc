import { Category, Item, Review, Tag } from "../support/entities"
import { anvil } from "../support/shop"
import { type Doors, items } from "./door"

/** Repositories and the entity manager. */
export const repositoryDoors: Doors = {
  "save of a new entity": { run: (d) => items(d).save({ name: "crate" }) },
  "save of an instance": { run: (d) => items(d).save(items(d).create({ name: "crate" })) },
  "save of a loaded entity": { run: async (d) => items(d).save({ ...(await anvil(d)), stock: 6 }) },
  "save of many in chunks": {
    run: (d) => items(d).save([{ name: "crate" }, { name: "drill" }], { chunk: 1 }),
  },
  "save without a transaction": { run: (d) => items(d).save({ name: "crate" }, { transaction: false }) },
  "save without reloading": { run: (d) => items(d).save({ name: "crate" }, { reload: false }) },
  "save with data for subscribers": { run: (d) => items(d).save({ name: "crate" }, { data: { why: 1 } }) },
  "save of a preloaded entity": {
    run: async (d) => items(d).save((await items(d).preload({ id: 1, stock: 8 })) as Item),
  },
  "save of several entities": {
    run: (d) =>
      d.manager.save([items(d).create({ name: "crate" }), d.getRepository(Tag).create({ label: "new" })]),
  },
  "manager.save": { run: (d) => d.manager.save(Item, { name: "crate" }) },
  insert: { run: (d) => items(d).insert({ name: "crate" }) },
  "insert of many": { run: (d) => items(d).insert([{ name: "crate" }, { name: "drill" }]) },
  update: { run: (d) => items(d).update({ name: "anvil" }, { stock: 6 }) },
  "update by id": { run: (d) => items(d).update(1, { stock: 6 }) },
  "update with an expression": { run: (d) => items(d).update({ id: 1 }, { stock: () => "stock + 1" }) },
  "upsert of a new entity": { run: (d) => items(d).upsert({ name: "crate", stock: 9 }, ["name"]) },
  "upsert of a known entity": { run: (d) => items(d).upsert({ name: "anvil", stock: 9 }, ["name"]) },
  delete: { run: (d) => items(d).delete({ name: "anvil" }) },
  remove: { run: async (d) => items(d).remove(await anvil(d)) },
  "remove of many": { run: async (d) => d.manager.remove(await d.manager.find(Review)) },
  softDelete: { run: (d) => items(d).softDelete({ name: "anvil" }) },
  softRemove: { run: async (d) => items(d).softRemove(await items(d).findOneByOrFail({ id: 1 })) },
  recover: {
    run: async (d) =>
      items(d).recover(await items(d).findOneOrFail({ where: { name: "broom" }, withDeleted: true })),
  },
  restore: { run: (d) => items(d).restore({ name: "broom" }) },
  increment: { run: (d) => items(d).increment({ name: "anvil" }, "stock", 1) },
  decrement: { run: (d) => items(d).decrement({ name: "anvil" }, "stock", 1) },
  clear: { run: (d) => d.manager.clear("category_closure") },
  "repository.query": { run: (d) => items(d).query("update item set stock = 1 where id = 1") },
  "cascade to one-to-many": {
    run: async (d) => items(d).save({ ...(await anvil(d)), reviews: [{ text: "too" }] as never }),
  },
  "cascade to many-to-many": {
    run: async (d) => items(d).save({ ...(await anvil(d)), tags: [{ label: "new" }] as Tag[] }),
  },
  "many-to-many link only": { run: async (d) => items(d).save({ ...(await anvil(d)), tags: [] }) },
  "relation query builder, add": {
    run: async (d) =>
      d
        .createQueryBuilder()
        .relation(Item, "tags")
        .of(2)
        .add(await d.getRepository(Tag).findOneByOrFail({})),
  },
  "relation query builder, remove": {
    run: (d) => d.createQueryBuilder().relation(Item, "tags").of(1).remove(1),
  },
  "relation query builder, set": {
    run: (d) => d.createQueryBuilder().relation(Review, "item").of(1).set(2),
  },
  "tree repository": {
    run: async (d) =>
      d.getTreeRepository(Category).save({
        name: "saws",
        parent: await d.getRepository(Category).findOneByOrFail({ name: "tools" }),
      }),
  },
}
