import type { DataSource } from "typeorm"
import type { Outsider } from "./shop"

/** A table that can be written by a statement and by a procedure that commits by itself. */
export const ledgerSql = `
  create table ledger (id serial primary key, note text not null);
  create procedure post(note text) language plpgsql as
    'begin insert into ledger (note) values (note); commit; end';
`

/** The statement that writes a row to the ledger. */
export const postSql = "insert into ledger (note) values ('x')"

/** Counts the committed rows. */
export async function posted(outsider: Outsider): Promise<number> {
  return (await outsider.sql("select from ledger")).length
}

/** Writes a row as the current user. Resolves with `done` or the class of the error. */
export function post(dataSource: DataSource): Promise<string> {
  return dataSource.query(postSql).then(
    () => "done",
    (error: Error) => error.constructor.name,
  )
}
