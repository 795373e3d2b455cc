import type { QueryResult } from "pg"
import { type Doors, insertSql, onRawClient, type RawClient } from "./door"

const withValues = "insert into item (name) values ($1) returning id, name"

/** The client behind a query runner. */
export const clientDoors: Doors = {
  "raw client, text": { run: onRawClient((client) => client.query(insertSql)) },
  "raw client, values": { run: onRawClient((client) => client.query(withValues, ["crate"])) },
  "raw client, config": {
    run: onRawClient((client) => client.query({ text: withValues, values: ["crate"] })),
  },
  "raw client, config and values": {
    run: onRawClient((client) => client.query({ text: withValues }, ["crate"])),
  },
  "raw client, rowMode array": {
    run: onRawClient((client) => client.query({ text: withValues, values: ["crate"], rowMode: "array" })),
  },
  "raw client, types of its own": {
    run: onRawClient((client) =>
      client.query({
        text: withValues,
        values: ["crate"],
        types: { getTypeParser: () => (value: string) => `<${value}>` },
      }),
    ),
  },
  "raw client, binary": {
    run: onRawClient((client) => client.query({ text: withValues, values: ["crate"], binary: true })),
  },
  "raw client, rows in batches": {
    run: onRawClient(async (client) => {
      const text = "select write_audit(g::text) from generate_series(1, 3) g"
      // In pg, rowCount is that of the last batch. With the plugin, it is the total.
      return ((await client.query({ text, rows: 1 })) as QueryResult).rows
    }),
  },
  "raw client, extended protocol": {
    run: onRawClient((client) => client.query({ text: insertSql, queryMode: "extended" })),
  },
  "raw client, several statements": {
    run: onRawClient((client) => client.query(`${insertSql} returning id; update item set stock = 1`)),
  },
  "raw client, named statement": {
    run: onRawClient((client) => client.query({ name: "add", text: insertSql })),
  },
  "raw client, named statement twice": {
    run: onRawClient(async (client) => [
      await client.query({ name: "add_named", text: withValues, values: ["crate"] }),
      await client.query({ name: "add_named", text: withValues, values: ["drill"] }),
    ]),
  },
  "raw client, named statement in a transaction": {
    run: onRawClient(async (client) => [
      await client.query("begin"),
      await client.query({ name: "add_named", text: withValues, values: ["crate"] }),
      await client.query("commit"),
    ]),
  },
  "raw client, named COMMIT": {
    run: onRawClient(async (client) => [
      await client.query({ name: "ender", text: "commit" }),
      await client.query("begin"),
      await client.query(insertSql),
      await client.query({ name: "ender", text: "commit" }),
    ]),
  },
  "raw client, callback": {
    run: onRawClient(
      (client) =>
        new Promise((resolve, reject) => {
          void client.query(insertSql, [], (error, result) => (error ? reject(error) : resolve(result)))
        }),
    ),
  },
  "raw client, three at once": {
    run: onRawClient((client) =>
      Promise.all([client.query("BEGIN"), client.query(insertSql), client.query("COMMIT")]),
    ),
  },
  "raw connection of the driver": {
    run: async (d) => {
      const driver = d.driver as unknown as { obtainMasterConnection(): Promise<[RawClient, () => void]> }
      const [client, release] = await driver.obtainMasterConnection()
      try {
        return await client.query(insertSql)
      } finally {
        release()
      }
    },
  },
}
