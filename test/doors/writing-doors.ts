import { finished } from "node:stream/promises"
import { type DataSource, type EntityManager, type QueryRunner, Table } from "typeorm"
import { anvil } from "../support/shop"
import { Category, Item, Tag } from "../support/entities"

/** A way to change data through a DataSource. */
export type Door = (dataSource: DataSource) => Promise<unknown>

const items = (dataSource: DataSource) => dataSource.getRepository(Item)
const insertSql = "insert into item (name) values ('crate')"

async function withRunner(
  dataSource: DataSource,
  work: (runner: QueryRunner) => Promise<unknown>,
): Promise<unknown> {
  const runner = dataSource.createQueryRunner()
  try {
    return await work(runner)
  } finally {
    await runner.release()
  }
}

/** A transaction by hand, with no rollback on error: the plugin must leave the connection clean all the same. */
function byHand(work: (runner: QueryRunner) => Promise<unknown>, isolation?: "SERIALIZABLE"): Door {
  return (dataSource) =>
    withRunner(dataSource, async (runner) => {
      await runner.startTransaction(isolation)
      await work(runner)
      await runner.commitTransaction()
    })
}

function inTransaction(work: (manager: EntityManager) => Promise<unknown>): Door {
  return (dataSource) => dataSource.transaction(work)
}

/** Repositories and the entity manager. */
const repositoryDoors: Record<string, Door> = {
  "save of a new entity": (d) => items(d).save({ name: "crate" }),
  "save of a loaded entity": async (d) => items(d).save({ ...(await anvil(d)), stock: 6 }),
  "save of many in chunks": (d) => items(d).save([{ name: "crate" }, { name: "drill" }], { chunk: 1 }),
  "save without a transaction": (d) => items(d).save({ name: "crate" }, { transaction: false }),
  "manager.save": (d) => d.manager.save(Item, { name: "crate" }),
  insert: (d) => items(d).insert({ name: "crate" }),
  "insert of many": (d) => items(d).insert([{ name: "crate" }, { name: "drill" }]),
  update: (d) => items(d).update({ name: "anvil" }, { stock: 6 }),
  upsert: (d) => items(d).upsert({ name: "anvil", stock: 9 }, ["name"]),
  delete: (d) => items(d).delete({ name: "anvil" }),
  remove: async (d) => items(d).remove(await anvil(d)),
  softDelete: (d) => items(d).softDelete({ name: "anvil" }),
  softRemove: async (d) => items(d).softRemove(await items(d).findOneByOrFail({ id: 1 })),
  recover: async (d) =>
    items(d).recover(await items(d).findOneOrFail({ where: { name: "broom" }, withDeleted: true })),
  restore: (d) => items(d).restore({ name: "broom" }),
  increment: (d) => items(d).increment({ name: "anvil" }, "stock", 1),
  decrement: (d) => items(d).decrement({ name: "anvil" }, "stock", 1),
  clear: (d) => d.manager.clear("category_closure"),
  "cascade to one-to-many": async (d) =>
    items(d).save({ ...(await anvil(d)), reviews: [{ text: "too" }] as never }),
  "cascade to many-to-many": async (d) =>
    items(d).save({ ...(await anvil(d)), tags: [{ label: "new" }] as Tag[] }),
  "many-to-many link only": async (d) => items(d).save({ ...(await anvil(d)), tags: [] }),
  "relation query builder": async (d) =>
    d
      .createQueryBuilder()
      .relation(Item, "tags")
      .of(2)
      .add(await d.getRepository(Tag).findOneByOrFail({})),
  "tree repository": async (d) =>
    d
      .getTreeRepository(Category)
      .save({ name: "saws", parent: await d.getRepository(Category).findOneByOrFail({ name: "tools" }) }),
}

/** Query builders and texts, each statement by itself. */
const statementDoors: Record<string, Door> = {
  "insert query builder": (d) =>
    d.createQueryBuilder().insert().into(Item).values({ name: "crate" }).execute(),
  "insert query builder with returning": (d) =>
    d.createQueryBuilder().insert().into(Item).values({ name: "crate" }).returning("*").execute(),
  "update query builder": (d) =>
    d.createQueryBuilder().update(Item).set({ stock: 1 }).where("id = 1").execute(),
  "delete query builder": (d) => d.createQueryBuilder().delete().from(Item).where("id = 1").execute(),
  "soft-delete query builder": (d) => items(d).createQueryBuilder().softDelete().where("id = 1").execute(),
  "restore query builder": (d) => items(d).createQueryBuilder().restore().where("id = 2").execute(),
  "query builder in its own transaction": (d) =>
    d.createQueryBuilder().insert().into(Item).values({ name: "crate" }).useTransaction(true).execute(),
  "query without parameters": (d) => d.query(insertSql),
  "query with parameters": (d) => d.query("insert into item (name) values ($1)", ["crate"]),
  "query behind comments": (d) => d.query(`-- select\n/* select */ ${insertSql} -- end`),
  "query behind a nested comment": (d) => d.query(`/* a /* b */ c */ ${insertSql}`),
  "query with a semicolon in a literal": (d) => d.query("insert into item (name) values ('a;b')"),
  "writable common table expression": (d) =>
    d.query("with added as (insert into item (name) values ($1) returning id) select id from added", [
      "crate",
    ]),
  "select of a writing function": (d) => d.query("select write_audit('x')"),
  "select of a writing function with parameters": (d) => d.query("select write_audit($1)", ["x"]),
  "find with a writing function": (d) =>
    items(d).createQueryBuilder("i").where("write_audit(i.name) is not null").getMany(),
  "update through a view": (d) => d.query("update stocked set stock = 1 where id = 1"),
  "DO block": (d) => d.query("do $$ begin insert into item (name) values ('crate'); end $$"),
  "DO block that commits": (d) =>
    d.query("do $$ begin insert into item (name) values ('crate'); commit; end $$"),
  "CALL that commits": (d) => d.query("call write_and_commit('x')"),
  "CALL with parameters": (d) => d.query("call write_and_commit($1)", ["x"]),
  "EXPLAIN ANALYZE": (d) => d.query(`explain analyze ${insertSql}`),
  "several statements": (d) => d.query(`select 1; ${insertSql}; select 2`),
  "several statements with their own transaction": (d) => d.query(`begin; ${insertSql}; commit`),
  "several statements, the first a read with its commit": (d) =>
    d.query(`begin; select 1; commit; ${insertSql}`),
  "prepared statement in SQL": (d) =>
    withRunner(d, async (runner) => {
      await runner.query(`prepare add_item as ${insertSql}`)
      try {
        await runner.query("execute add_item")
      } finally {
        await runner.query("deallocate add_item")
      }
    }),
  "CREATE TABLE": (d) => d.query("create table extra (id int)"),
  "CREATE TABLE AS": (d) => d.query("create table extra as select * from item"),
  "SELECT INTO": (d) => d.query("select * into extra from item"),
  "ALTER TABLE": (d) => d.query("alter table item add column extra int"),
  "cursor WITH HOLD over a writing function": (d) =>
    withRunner(d, async (runner) => {
      await runner.query("declare held cursor with hold for select write_audit('x')")
      await runner.query("close held")
    }),
  "DROP VIEW": (d) => d.query("drop view stocked"),
  TRUNCATE: (d) => d.query("truncate audit"),
  "CREATE INDEX CONCURRENTLY": (d) => d.query("create index concurrently extra_index on item (stock)"),
  "queryRunner.createTable": (d) =>
    withRunner(d, (runner) =>
      runner.createTable(new Table({ name: "extra", columns: [{ name: "id", type: "int" }] })),
    ),
  "queryRunner.clearTable": (d) => withRunner(d, (runner) => runner.clearTable("audit")),
}

/** Transactions, by TypeORM and by hand. */
const transactionDoors: Record<string, Door> = {
  "dataSource.transaction": inTransaction((manager) => manager.save(Item, { name: "crate" })),
  "dataSource.transaction, READ UNCOMMITTED": (d) =>
    d.transaction("READ UNCOMMITTED", (m) => m.insert(Item, { name: "crate" })),
  "dataSource.transaction, REPEATABLE READ": (d) =>
    d.transaction("REPEATABLE READ", (m) => m.insert(Item, { name: "crate" })),
  "dataSource.transaction, SERIALIZABLE": (d) =>
    d.transaction("SERIALIZABLE", (m) => m.insert(Item, { name: "crate" })),
  "nested transactions": inTransaction((manager) =>
    manager.transaction((inner) => inner.insert(Item, { name: "crate" })),
  ),
  "nested transaction, the inner one rolled back": inTransaction(async (manager) => {
    await manager.insert(Item, { name: "crate" })
    await manager.transaction(() => Promise.reject(new Error("give up"))).catch(() => undefined)
  }),
  "query runner by hand": byHand((runner) => runner.manager.insert(Item, { name: "crate" })),
  "query runner by hand, SERIALIZABLE": byHand((runner) => runner.query(insertSql), "SERIALIZABLE"),
  "query runner, no transaction": (d) => withRunner(d, (runner) => runner.query(insertSql)),
  "writing function in a transaction": inTransaction((manager) => manager.query("select write_audit('x')")),
  "table of its own in a transaction": inTransaction((manager) =>
    manager.query("create table extra (id int)"),
  ),
  "BEGIN and COMMIT as texts": (d) =>
    withRunner(d, async (runner) => {
      await runner.query("BEGIN")
      await runner.query(insertSql)
      await runner.query("COMMIT")
    }),
  "COMMIT behind a comment": byHand(async (runner) => {
    await runner.query(insertSql)
    await runner.query("/* ; */ -- x\n commit")
    await runner.query("BEGIN")
  }),
  "COMMIT before a comment": byHand(async (runner) => {
    await runner.query(insertSql)
    await runner.query("commit -- x")
    await runner.query("BEGIN")
  }),
  "END as text": byHand(async (runner) => {
    await runner.query(insertSql)
    await runner.query("end work;")
    await runner.query("BEGIN")
  }),
  "COMMIT AND CHAIN": byHand(async (runner) => {
    await runner.query(insertSql)
    await runner.query("COMMIT AND CHAIN")
  }),
  "COMMIT among several statements": byHand(async (runner) => {
    await runner.query(`${insertSql}; commit`)
    await runner.query("BEGIN")
  }),
  "ROLLBACK, then more, in one text": byHand(async (runner) => {
    await runner.query(`rollback; ${insertSql}`)
    await runner.query("BEGIN")
  }),
  "COMMIT prepared by the protocol": (d) =>
    withRunner(d, async (runner) => {
      const client = (await runner.connect()) as { query(query: object | string): Promise<unknown> }
      await client.query({ name: "ender", text: "commit" })
      await client.query("begin")
      await client.query(insertSql)
      await client.query({ name: "ender", text: "commit" })
    }),
  "DO block in a transaction": inTransaction((manager) =>
    manager.query("do $$ begin insert into item (name) values ('crate'); end $$"),
  ),
  "SET TRANSACTION by hand": byHand(async (runner) => {
    await runner.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    await runner.query(insertSql)
  }),
  "savepoints by hand": byHand(async (runner) => {
    await runner.query("SAVEPOINT one")
    await runner.query(insertSql)
    await runner.query("RELEASE one")
  }),
  "session that defaults to SERIALIZABLE": (d) =>
    withRunner(d, async (runner) => {
      await runner.query("set default_transaction_isolation = 'serializable'")
      try {
        await runner.query(insertSql)
      } finally {
        await runner.query("reset default_transaction_isolation")
      }
    }),
}

interface RawClient {
  query(
    query: unknown,
    values?: unknown,
    callback?: (error: Error | null, result: unknown) => void,
  ): Promise<unknown>
}

function onRawClient(work: (client: RawClient) => Promise<unknown>): Door {
  return (dataSource) => withRunner(dataSource, async (runner) => work((await runner.connect()) as RawClient))
}

/** The client behind a query runner. */
const clientDoors: Record<string, Door> = {
  "raw client, text": onRawClient((client) => client.query(insertSql)),
  "raw client, values": onRawClient((client) =>
    client.query("insert into item (name) values ($1)", ["crate"]),
  ),
  "raw client, config": onRawClient((client) =>
    client.query({ text: "insert into item (name) values ($1)", values: ["crate"] }),
  ),
  "raw client, named statement": onRawClient((client) => client.query({ name: "add", text: insertSql })),
  "raw client, callback": onRawClient(
    (client) =>
      new Promise((resolve, reject) => {
        void client.query(insertSql, [], (error, result) => (error ? reject(error) : resolve(result)))
      }),
  ),
  "raw client, two at once": onRawClient((client) =>
    Promise.all([client.query("BEGIN"), client.query(insertSql), client.query("COMMIT")]),
  ),
  "raw connection of the driver": async (d) => {
    const driver = d.driver as unknown as { obtainMasterConnection(): Promise<[RawClient, () => void]> }
    const [client, release] = await driver.obtainMasterConnection()
    try {
      await client.query(insertSql)
    } finally {
      release()
    }
  },
  stream: (d) =>
    withRunner(d, async (runner) => {
      const stream = await runner.stream("select write_audit($1)", ["x"])
      await finished(stream.resume())
    }),
}

/** Every way to change data that the core is tested on, by the name of its group. */
export const writingDoors: Record<string, Record<string, Door>> = {
  repositories: repositoryDoors,
  statements: statementDoors,
  transactions: transactionDoors,
  clients: clientDoors,
}
