import { type Doors, inTransaction, texts } from "./door"

/** Indirect writes: triggers, rules, views, foreign keys, cursors. */
export const triggerDoors: Doors = {
  "deferred constraint trigger": { run: (d) => d.query("insert into promise (note) values ('x')") },
  "deferred constraint trigger in a transaction": {
    run: inTransaction((manager) => manager.query("insert into promise (note) values ('x') returning note")),
  },
  "deferred constraint trigger made immediate": {
    run: inTransaction(async (manager) => [
      await manager.query("insert into promise (note) values ('x')"),
      await manager.query("set constraints all immediate"),
      await manager.query("select note from audit order by id"),
    ]),
  },
  "foreign key ON DELETE CASCADE": { run: (d) => d.query("delete from item where id = 1") },
  "rule that inserts": { run: (d) => d.query("insert into wish values ('x')") },
  "updatable view": { run: (d) => d.query("update stocked set stock = 1 where id = 1") },
  "insert through a view": { run: (d) => d.query("insert into stocked (name, stock) values ('crate', 1)") },
  "delete through a view": { run: (d) => d.query("delete from stocked where id = 2") },
  "INSTEAD OF trigger": { run: (d) => d.query("insert into labels (label) values ('new') returning label") },
  partition: { run: (d) => d.query("insert into parcel values (1, 'x')") },
  "cursor over a writing function": {
    run: inTransaction(async (manager) => [
      await manager.query(
        "declare plain cursor for select write_audit(g::text) from generate_series(1, 9) g",
      ),
      await manager.query("fetch 2 from plain"),
    ]),
  },
  "cursor WITH HOLD over a writing function, in a transaction": {
    run: texts(
      "begin",
      "declare held cursor with hold for select write_audit(g::text) from generate_series(1, 3) g",
      "fetch 1 from held",
      "commit",
      "fetch all from held",
      "close held",
    ),
  },
  "cursor WITH HOLD that is never read": {
    run: texts("begin", "declare held cursor with hold for select write_audit('x')", "commit", "close held"),
  },
  "creation of a large object": {
    run: (d, { estate }) => d.query("select lo_create($1)", [estate.largeObject]),
  },
  "creation of a large object with content": {
    run: (d, { estate }) => d.query("select lo_from_bytea($1, 'x')", [estate.largeObject]),
  },
  "change of a large object": {
    arrange: (site) => site.sql("select lo_from_bytea($1, 'x')", [site.estate.largeObject]),
    run: (d, { estate }) => d.query(`select lo_put(${estate.largeObject}, 0, 'yy')`),
  },
  "removal of a large object": {
    arrange: (site) => site.sql("select lo_from_bytea($1, 'x')", [site.estate.largeObject]),
    run: (d, { estate }) => d.query(`select lo_unlink(${estate.largeObject})`),
  },
}
