import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import * as pg from "pg"
import { from as copyFrom, to as copyTo } from "pg-copy-streams"
import Cursor from "pg-cursor"
import { type Doors, insertSql, onRawClient, type RawClient, rowsOf } from "./door"

const withValues = "insert into item (name) values ($1) returning id, name"

/** Runs a pg query object. Resolves with its result. */
function submitted(client: RawClient, query: pg.Query): Promise<unknown> {
  return new Promise((resolve, reject) => {
    query.on("end", resolve).on("error", reject)
    client.query(query as never)
  })
}

/** Query objects of pg and its companion packages, on the client behind a query runner. */
export const submittableDoors: Doors = {
  "pg's own Query": {
    run: onRawClient((client) => submitted(client, new pg.Query(insertSql))),
  },
  "pg's own Query with values": {
    run: onRawClient((client) => submitted(client, new pg.Query(withValues, ["crate"]))),
  },
  "pg's own Query in a transaction": {
    run: onRawClient(async (client) => [
      await client.query("begin"),
      await submitted(client, new pg.Query(withValues, ["crate"])),
      await client.query("commit"),
    ]),
  },
  "pg's own Query that commits": {
    run: onRawClient(async (client) => [
      await client.query("begin"),
      await client.query(insertSql),
      await submitted(client, new pg.Query("commit")),
    ]),
  },
  "pg-cursor read to its end": {
    run: onRawClient(async (client) => {
      const cursor = client.query(new Cursor("select write_audit($1)", ["x"]))
      const rows = [await cursor.read(10), await cursor.read(10)]
      await cursor.close()
      return rows
    }),
  },
  "pg-cursor in batches": {
    run: onRawClient(async (client) => {
      const cursor = client.query(
        new Cursor("select write_audit(g::text) from generate_series(1, 5) g", [], { rowMode: "array" }),
      )
      const rows = [await cursor.read(2), await cursor.read(2), await cursor.read(2), await cursor.read(2)]
      await cursor.close()
      return rows
    }),
  },
  "pg-cursor closed early": {
    run: onRawClient(async (client) => {
      const cursor = client.query(new Cursor("select write_audit(g::text) from generate_series(1, 9) g"))
      const rows = await cursor.read(2)
      await cursor.close()
      return rows
    }),
    inConcurrent: "no error",
  },
  "pg-cursor in a transaction": {
    run: onRawClient(async (client) => {
      await client.query("begin")
      const cursor = client.query(new Cursor("select write_audit(g::text) from generate_series(1, 9) g"))
      const rows = await cursor.read(2)
      await cursor.close()
      return [rows, await client.query("commit")]
    }),
  },
  "COPY FROM": {
    run: onRawClient(async (client) => {
      const copy = client.query(copyFrom("copy audit (note) from stdin"))
      await pipeline(Readable.from(["one\n", "two\nthree\n"]), copy)
      return copy.rowCount
    }),
  },
  "COPY FROM in a transaction": {
    run: onRawClient(async (client) => {
      await client.query("begin")
      const copy = client.query(copyFrom("copy audit (note) from stdin with csv"))
      await pipeline(Readable.from(["one\n"]), copy)
      return [copy.rowCount, await client.query("commit")]
    }),
  },
  "COPY TO of a writing statement": {
    run: onRawClient(async (client) => {
      const copy = client.query(
        copyTo("copy (insert into audit (note) values ('x') returning id, note) to stdout"),
      )
      return Buffer.concat((await rowsOf(copy)) as Buffer[]).toString()
    }),
  },
  "COPY TO of a writing function, in a transaction": {
    run: onRawClient(async (client) => {
      await client.query("begin")
      const copy = client.query(copyTo("copy (select write_audit('x')) to stdout"))
      return [Buffer.concat((await rowsOf(copy)) as Buffer[]).toString(), await client.query("commit")]
    }),
  },
}
