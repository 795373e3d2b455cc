import { Item } from "../support/entities"
import { byHand, type Door, type Doors, inTransaction, insertSql, items } from "./door"

const fails = (run: Door["run"]): Door => ({
  run,
  inConcurrent: "as in plain TypeORM",
  changesNothing: "PostgreSQL refuses it, whatever the mode",
})

/** Statements that fail in every mode. The error is that of plain TypeORM. */
export const failingDoors: Doors = {
  "unique violation": fails((d) => d.query("insert into item (name) values ('anvil')")),
  "unique violation with parameters": fails((d) => d.query("insert into item (name) values ($1)", ["anvil"])),
  "unique violation by save": fails((d) => items(d).save({ name: "anvil" })),
  "unique violation by insert": fails((d) => items(d).insert({ name: "anvil" })),
  "unique violation in a transaction": fails(
    inTransaction(async (manager) => {
      await manager.insert(Item, { name: "crate" })
      await manager.insert(Item, { name: "anvil" })
    }),
  ),
  "foreign key violation": fails((d) => d.query('update review set "itemId" = 99')),
  "violation of a deferred constraint": fails((d) =>
    d.query(
      "do $$ begin set constraints all deferred; insert into review (text, \"itemId\") values ('x', 99); end $$",
    ),
  ),
  "syntax error": fails((d) => d.query("insert into into item")),
  "syntax error with parameters": fails((d) => d.query("insert into into item values ($1)", ["x"])),
  "unknown table": fails((d) => d.query("insert into nowhere values (1)")),
  "wrong number of parameters": fails((d) => d.query("update item set stock = $1 where id = $2", [1])),
  "wrong type of parameter": fails((d) => d.query("update item set stock = $1", ["many"])),
  "parameters for several statements": fails((d) => d.query(`${insertSql}; select $1`, [1])),
  "several statements by the extended protocol": fails((d) => d.query(`${insertSql}; select 1`, [1])),
  "function that raises": fails((d) =>
    d.query("do $$ begin raise exception 'no' using errcode = 'XX123', detail = 'd', hint = 'h'; end $$"),
  ),
  "write in a READ ONLY transaction": fails(
    inTransaction(async (manager) => [
      await manager.query("set transaction read only"),
      await manager.query(insertSql),
    ]),
  ),
  "VACUUM in a transaction": fails(inTransaction((manager) => manager.query("vacuum audit"))),
  statement_timeout: fails(
    inTransaction(async (runner) => [
      await runner.query(insertSql),
      await runner.query("set local statement_timeout = 20"),
      await runner.query("select pg_sleep(60)"),
    ]),
  ),
  "failing statement, then COMMIT": fails(
    byHand(async (runner) => {
      await runner.query(insertSql)
      return runner.query("select 1 / 0").catch((error: unknown) => error)
    }),
  ),
  "failing statement, then COMMIT as text": fails(async (d, site) =>
    byHand(async (runner) => {
      await runner.query(insertSql)
      const error: unknown = await runner.query("select 1 / 0").catch((failure: unknown) => failure)
      return [error, await runner.query("commit"), await runner.query("begin")]
    })(d, site),
  ),
  "failing statement, then another": fails(
    inTransaction(async (runner) => {
      await runner.query("select 1 / 0").catch(() => undefined)
      return runner.query(insertSql)
    }),
  ),
}
