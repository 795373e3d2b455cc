import { Item, Tag } from "../support/entities"
import { byHand, type Doors, inTransaction, insertSql, items, withRunner } from "./door"

/** Transactions, by TypeORM and by hand. */
export const transactionDoors: Doors = {
  "dataSource.transaction": { run: inTransaction((manager) => manager.save(Item, { name: "crate" })) },
  "dataSource.transaction, READ UNCOMMITTED": {
    run: (d) => d.transaction("READ UNCOMMITTED", (m) => m.insert(Item, { name: "crate" })),
  },
  "dataSource.transaction, READ COMMITTED": {
    run: (d) => d.transaction("READ COMMITTED", (m) => m.insert(Item, { name: "crate" })),
  },
  "dataSource.transaction, REPEATABLE READ": {
    run: (d) => d.transaction("REPEATABLE READ", (m) => m.insert(Item, { name: "crate" })),
  },
  "dataSource.transaction, SERIALIZABLE": {
    run: (d) => d.transaction("SERIALIZABLE", (m) => m.insert(Item, { name: "crate" })),
  },
  "reads, then a write": {
    run: inTransaction(async (manager) => [
      await manager.find(Item),
      await manager.insert(Tag, { label: "new" }),
      await manager.countBy(Tag, { label: "new" }),
    ]),
  },
  "reads, then a write, SERIALIZABLE": {
    run: (d) =>
      d.transaction("SERIALIZABLE", async (manager) => [
        await manager.find(Item),
        await manager.update(Item, { id: 1 }, { stock: 9 }),
      ]),
  },
  "nested transactions": {
    run: inTransaction((manager) => manager.transaction((inner) => inner.insert(Item, { name: "crate" }))),
  },
  "nested transactions, three deep": {
    run: inTransaction((manager) =>
      manager.transaction((inner) => inner.transaction((last) => last.save(Item, { name: "crate" }))),
    ),
  },
  "nested transaction, the inner one rolled back": {
    run: inTransaction(async (manager) => {
      await manager.insert(Item, { name: "crate" })
      await manager.transaction(() => Promise.reject(new Error("give up"))).catch(() => undefined)
    }),
  },
  "writing function in a transaction": {
    run: inTransaction((manager) => manager.query("select write_audit('x')")),
  },
  "DO block in a transaction": {
    run: inTransaction((manager) =>
      manager.query("do $$ begin insert into item (name) values ('crate'); end $$"),
    ),
  },
  "CALL in a transaction": { run: inTransaction((manager) => manager.query("call write_only('x')")) },
  "several statements in a transaction": {
    run: inTransaction((manager) => manager.query(`select 1; ${insertSql} returning id; select 2`)),
  },
  "query runner by hand": { run: byHand((runner) => runner.manager.insert(Item, { name: "crate" })) },
  "query runner by hand, REPEATABLE READ": {
    run: byHand((runner) => runner.query(insertSql), "REPEATABLE READ"),
  },
  "query runner by hand, SERIALIZABLE": {
    run: byHand((runner) => runner.query(insertSql), "SERIALIZABLE"),
  },
  "query runner, no transaction": { run: (d) => withRunner(d, (runner) => runner.query(insertSql)) },
  "query runner, one transaction after the other": {
    run: (d) =>
      withRunner(d, async (runner) => {
        for (const label of ["one", "two"]) {
          await runner.startTransaction()
          await runner.manager.insert(Tag, { label })
          await runner.commitTransaction()
        }
      }),
  },
  "query runner that rolls back, then writes": {
    run: (d) =>
      withRunner(d, async (runner) => {
        await runner.startTransaction()
        await runner.manager.insert(Tag, { label: "given up" })
        await runner.rollbackTransaction()
        return runner.manager.insert(Tag, { label: "kept" })
      }),
  },
  "query runner's manager and query builder": {
    run: byHand((runner) =>
      runner.manager.createQueryBuilder().update(Item).set({ stock: 4 }).where("id = 1").execute(),
    ),
  },
  "repository of a query runner": {
    run: byHand((runner) => runner.manager.withRepository(items(runner.connection)).save({ name: "crate" })),
  },
}
