import { type Door, type Doors, insertSql, texts, withRunner } from "./door"

/** A statement that is prepared, executed and deallocated in SQL. */
function prepared(name: string, text: string, call = name): Door["run"] {
  return (d) =>
    withRunner(d, async (runner) => {
      await runner.query(`prepare ${name} as ${text}`)
      try {
        return await runner.query(`execute ${call}`)
      } finally {
        await runner.query(`deallocate ${name.replace(/ .*/, "")}`)
      }
    })
}

/** Texts of one statement. */
export const statementDoors: Doors = {
  "query without parameters": { run: (d) => d.query(insertSql) },
  "query with parameters": { run: (d) => d.query("insert into item (name) values ($1)", ["crate"]) },
  "query with no parameters in an array": { run: (d) => d.query(insertSql, []) },
  "query with a null": { run: (d) => d.query("update audit set note = $1", [null]) },
  "query with an undefined": { run: (d) => d.query("update audit set note = $1", [undefined]) },
  "query with objects for parameters": {
    run: (d) =>
      d.query("insert into audit (note) select $1::text || $2::text || $3::text || $4", [
        { a: 1 },
        ["x", null],
        new Date(0),
        Buffer.from("x"),
      ]),
  },
  "query with returning": { run: (d) => d.query(`${insertSql} returning id, name`) },
  "query for a structured result": {
    run: (d) => withRunner(d, (runner) => runner.query(`${insertSql} returning id`, [], true)),
  },
  "update for a structured result": {
    run: (d) =>
      withRunner(d, (runner) =>
        runner.query("update item set stock = $1 where id = 1 returning name", [3], true),
      ),
  },
  "update with returning": { run: (d) => d.query("update item set stock = 3 where id = 1 returning *") },
  "update from another table": {
    run: (d) => d.query('update item set stock = 3 from review where review."itemId" = item.id'),
  },
  "delete with using": { run: (d) => d.query('delete from review using item where "itemId" = item.id') },
  "insert on conflict": {
    run: (d) =>
      d.query("insert into item (name) values ('anvil') on conflict (name) do update set stock = 9"),
  },
  MERGE: {
    run: (d) =>
      d.query(`merge into item using (values ('anvil'), ('crate')) as wanted (name) on item.name = wanted.name
        when matched then update set stock = 9 when not matched then insert (name) values (wanted.name)`),
  },
  "query behind comments": { run: (d) => d.query(`-- select\n/* select */ ${insertSql} -- end`) },
  "query behind a nested comment": { run: (d) => d.query(`/* a /* b */ c */ ${insertSql}`) },
  "query behind a comment that commits": { run: (d) => d.query(`/* ; commit; */ ${insertSql} -- ; commit`) },
  "query with a semicolon in a literal": { run: (d) => d.query("insert into item (name) values ('a;b')") },
  "query with a commit in dollar quotes": {
    run: (d) => d.query("insert into item (name) values ($x$; $$commit$$; $x$) returning name"),
  },
  "query with a commit in an escaped literal": {
    run: (d) =>
      d.query("insert into item (name) values (E'\\'; commit; --'), ('it''s; commit') returning name"),
  },
  "query with a commit in an identifier": {
    run: (d) => d.query(`${insertSql} returning id as "; commit; "`),
  },
  "query between semicolons": { run: (d) => d.query(`;; ${insertSql};;`) },
  "query of 1 MB": {
    run: (d) => d.query(`insert into audit (note) select md5('${"x".repeat(1_000_000)}') returning note`),
  },
  "writable common table expression": {
    run: (d) =>
      d.query("with added as (insert into item (name) values ($1) returning id) select id from added", [
        "crate",
      ]),
  },
  "common table expression that deletes": {
    run: (d) => d.query("with gone as (delete from review returning text) select text from gone"),
  },
  "select of a writing function": { run: (d) => d.query("select write_audit('x')") },
  "select of a writing function with parameters": { run: (d) => d.query("select write_audit($1)", ["x"]) },
  "values of a writing function": { run: (d) => d.query("values (write_audit('x'))") },
  "select for update": {
    run: (d) => d.query("select name from item where id = 1 for update"),
    changesNothing: "a locked row looks the same; taken for a write, as documented",
  },
  "DO block": { run: (d) => d.query("do $$ begin insert into item (name) values ('crate'); end $$") },
  "EXPLAIN ANALYZE": {
    run: (d) => d.query(`explain (analyze, costs off, timing off, summary off, buffers off) ${insertSql}`),
  },
  "prepared statement in SQL": { run: prepared("add_item", insertSql) },
  "prepared statement in SQL, with parameters": {
    run: prepared(
      "add_named (text)",
      "insert into item (name) values ($1) returning name",
      "add_named('crate')",
    ),
  },
  "cursor WITH HOLD over a writing function": {
    run: texts("declare held cursor with hold for select write_audit('x')", "close held"),
  },
}
