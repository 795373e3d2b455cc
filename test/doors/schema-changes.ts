import { Table, TableColumn, TableIndex } from "typeorm"
import { type Doors, inTransaction, withRunner } from "./door"

/** Changes of the schema and of privileges. */
export const schemaDoors: Doors = {
  "CREATE TABLE": { run: (d) => d.query("create table extra (id int)") },
  "CREATE TABLE AS": { run: (d) => d.query("create table extra as select * from item") },
  "SELECT INTO": { run: (d) => d.query("select * into extra from item") },
  "CREATE TABLE in a transaction": {
    run: inTransaction((manager) => manager.query("create table extra (id int)")),
  },
  "CREATE TEMPORARY TABLE": {
    run: (d) =>
      withRunner(d, async (runner) => [
        await runner.query("create temporary table basket (id int)"),
        await runner.query("drop table basket"),
      ]),
    changesNothing: "a temporary table is the session's own; taken for a write, as documented",
  },
  "ALTER TABLE": { run: (d) => d.query("alter table item add column extra int") },
  "DROP TABLE": {
    arrange: (site) => site.sql("create table extra (id int)"),
    run: (d) => d.query("drop table extra"),
  },
  "DROP VIEW": { run: (d) => d.query("drop view stocked") },
  TRUNCATE: { run: (d) => d.query("truncate audit") },
  "CREATE INDEX": { run: (d) => d.query("create index extra_index on item (stock)") },
  "CREATE FUNCTION": {
    run: (d) => d.query("create function extra() returns int language sql as 'select 1; select 2'"),
  },
  "CREATE SEQUENCE": { run: (d) => d.query("create sequence extra_sequence") },
  "CREATE TRIGGER": {
    run: (d) =>
      d.query("create trigger extra after insert on audit for each row execute function audit_item()"),
  },
  "COMMENT ON": { run: (d) => d.query("comment on table audit is 'who; did; what'") },
  GRANT: { run: (d) => d.query("grant select on audit to public") },
  "REFRESH MATERIALIZED VIEW": { run: (d) => d.query("refresh materialized view total") },
  "REFRESH MATERIALIZED VIEW CONCURRENTLY": {
    arrange: (site) => site.sql("update item set stock = 99"),
    run: (d) => d.query("refresh materialized view concurrently total"),
  },
  "queryRunner.createTable": {
    run: (d) =>
      withRunner(d, (runner) =>
        runner.createTable(new Table({ name: "extra", columns: [{ name: "id", type: "int" }] })),
      ),
  },
  "queryRunner.addColumn": {
    run: (d) =>
      withRunner(d, (runner) =>
        runner.addColumn("tag", new TableColumn({ name: "extra", type: "int", isNullable: true })),
      ),
  },
  "queryRunner.createIndex": {
    run: (d) =>
      withRunner(d, (runner) =>
        runner.createIndex("item", new TableIndex({ name: "extra_index", columnNames: ["stock"] })),
      ),
  },
  "queryRunner.clearTable": { run: (d) => withRunner(d, (runner) => runner.clearTable("audit")) },
  synchronize: {
    arrange: (site) => site.sql("alter table tag add column extra int"),
    run: (d) => d.synchronize(),
  },
}
