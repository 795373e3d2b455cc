import { type Doors, inTransaction, insertSql, texts } from "./door"

const commits = "do $$ begin insert into item (name) values ('crate'); commit; end $$"

/** Statements that commit by themselves. */
export const selfCommittingDoors: Doors = {
  "CALL that commits": { run: (d) => d.query("call write_and_commit('x')") },
  "CALL that commits, behind a comment": { run: (d) => d.query("-- ; x\ncall write_and_commit('x')") },
  "CALL with parameters": { run: (d) => d.query("call write_and_commit($1)", ["x"]) },
  "CALL that does not commit": { run: (d) => d.query("call write_only('x')") },
  "CALL that commits, in a transaction": {
    run: inTransaction((manager) => manager.query("call write_and_commit('x')")),
    inConcurrent: "as in plain TypeORM",
    changesNothing: "PostgreSQL refuses the commit inside of a transaction block (2D000), whatever the mode",
  },
  "DO block that commits": { run: (d) => d.query(commits) },
  "DO block that commits, then fails": {
    run: (d) => d.query(commits.replace("commit;", "commit; raise exception 'late';")),
  },
  "DO block that commits twice": {
    run: (d) => d.query(commits.replace("commit;", "commit; insert into audit (note) values ('x'); commit;")),
  },
  "DO block that rolls back, then writes": {
    run: (d) => d.query(commits.replace("commit;", "rollback; insert into audit (note) values ('x');")),
  },
  "DO block that fails": {
    run: (d) =>
      d.query(
        "do $$ begin insert into item (name) values ('crate'); raise exception 'no' using errcode = 'XX123'; end $$",
      ),
    inConcurrent: "as in plain TypeORM",
    changesNothing: "it fails, whatever the mode",
  },
  "DO block with a deferred constraint trigger": {
    run: (d) => d.query("do $$ begin insert into promise (note) values ('x'); end $$"),
  },
  "DO block, and an insert": { run: (d) => d.query(`do $$ begin perform 1; end $$; ${insertSql}`) },
  "DO block, a hidden commit, and an insert": {
    run: (d) =>
      d.query(String.raw`do E'begin insert into audit (note) values (1); c\x6fmmit; end'; ${insertSql}`),
    changesNothing: "PostgreSQL refuses to commit in a text of several statements (2D000), whatever the mode",
  },
  "DO block that declares a cursor WITH HOLD": {
    run: texts(
      "do $$ begin execute 'declare held cursor with hold for select write_audit(''held'')'; end $$",
      "close held",
    ),
  },
  VACUUM: { run: (d) => d.query("vacuum audit"), changesNothing: "what it removes was not seen before" },
  "VACUUM FULL": { run: (d) => d.query("vacuum (full) audit") },
  ANALYZE: { run: (d) => d.query("analyze audit"), changesNothing: "statistics only" },
  REINDEX: { run: (d) => d.query("reindex table audit") },
  "REINDEX CONCURRENTLY": { run: (d) => d.query("reindex index concurrently total_id") },
  "CREATE INDEX CONCURRENTLY": {
    run: (d) => d.query("create index concurrently extra_index on item (stock)"),
  },
  "DROP INDEX CONCURRENTLY": {
    arrange: (site) => site.sql("create index extra_index on item (stock)"),
    run: (d) => d.query("drop index concurrently extra_index"),
  },
  "DETACH PARTITION CONCURRENTLY": {
    run: (d) => d.query("alter table parcel detach partition parcel_low concurrently"),
  },
  "ALTER TYPE ... ADD VALUE": { run: (d) => d.query("alter type colour add value 'blue'") },
  "ALTER TYPE ... ADD VALUE in a transaction": {
    run: texts("begin", "alter type colour add value 'blue'", "commit"),
  },
  "CREATE DATABASE": {
    run: (d, site) => d.query(`create database "${site.name}" template template0`),
  },
  "DROP DATABASE": {
    arrange: (site) => site.sql(`create database "${site.name}" template template0`),
    run: (d, site) => d.query(`drop database "${site.name}"`),
  },
}

/** Texts of several statements. */
export const severalStatementsDoors: Doors = {
  "several statements": { run: (d) => d.query(`select 1; ${insertSql}; select 2`) },
  "several statements, each with a result": {
    run: (d) =>
      d.query(`${insertSql} returning id; update item set stock = 1; delete from review returning text`),
  },
  "several statements, the last fails": {
    run: (d) => d.query(`${insertSql}; select 1 / 0`),
    inConcurrent: "as in plain TypeORM",
    changesNothing: "PostgreSQL rolls all of them back, whatever the mode",
  },
  "several statements, with a commit before one that fails": {
    run: (d) => d.query(`${insertSql}; commit; select 1 / 0`),
  },
  "several statements with their own transaction": { run: (d) => d.query(`begin; ${insertSql}; commit`) },
  "several statements, with a read and its commit first": {
    run: (d) => d.query(`begin; select 1; commit; ${insertSql}`),
  },
  "several statements, with a late BEGIN": {
    run: (d) => d.query(`select 1; begin; ${insertSql}; end; select 2`),
  },
  "several statements with a commit in a literal": {
    run: (d) => d.query(`${insertSql}; select '; commit'`),
  },
  "several statements with a commit in dollar quotes": {
    run: (d) => d.query("do $x$ begin perform $$; commit $$; end $x$; update item set stock = 3"),
  },
  "several statements with a commit in a comment": {
    run: (d) => d.query(`/* ; commit; */ ${insertSql}; -- commit\n select 2`),
  },
  "several statements with a savepoint": {
    run: (d) => d.query(`begin; savepoint one; ${insertSql}; release one; commit`),
  },
  "several statements, one of them DDL": { run: (d) => d.query(`create table extra (id int); ${insertSql}`) },
  "several statements, one of them a CALL": {
    run: (d) => d.query(`${insertSql}; call write_only('x')`),
  },
}
