import type { DataSource } from "typeorm"
import { type Doors, insertSql, texts, withRunner } from "./door"

const session = (set: string, reset: string, ...statements: string[]) => ({
  run: (d: DataSource) =>
    withRunner(d, async (runner) => {
      await runner.query(set)
      try {
        const results: unknown[] = []
        for (const text of statements) results.push(await runner.query(text))
        return results
      } finally {
        await runner.query(reset)
      }
    }),
})

const resetIsolation = "reset default_transaction_isolation"
const resetReadOnly = "reset default_transaction_read_only"

/** Session settings, followed by writes. */
export const sessionDoors: Doors = {
  "session that defaults to SERIALIZABLE": session(
    "set default_transaction_isolation = 'serializable'",
    resetIsolation,
    insertSql,
  ),
  "session that defaults to SERIALIZABLE, texts that commit": session(
    "set default_transaction_isolation = 'serializable'",
    resetIsolation,
    `begin; ${insertSql}; commit`,
    "call write_and_commit('x')",
  ),
  "SET SESSION CHARACTERISTICS": session(
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    resetIsolation,
    insertSql,
  ),
  "SET SESSION CHARACTERISTICS to READ WRITE": session(
    "set session characteristics as transaction read write",
    resetReadOnly,
    insertSql,
  ),
  "SET default_transaction_read_only = off": session(
    "set default_transaction_read_only = off",
    resetReadOnly,
    insertSql,
  ),
  "SET default_transaction_read_only = on": {
    ...session("SET default_transaction_read_only = on", resetReadOnly, insertSql),
    inConcurrent: "as in plain TypeORM",
    changesNothing: "PostgreSQL refuses the write (25006), whatever the mode",
  },
  "read-only session, read-write transaction": session(
    "set default_transaction_read_only = on",
    resetReadOnly,
    "begin read write",
    insertSql,
    "commit",
  ),
  "DISCARD ALL, then a write": { run: texts("DISCARD ALL", insertSql) },
  "DISCARD ALL, then a transaction": { run: texts("discard all", "begin", insertSql, "commit") },
  "DEALLOCATE ALL, then a write": { run: texts("deallocate all", insertSql) },
  "LISTEN, then a write": { run: texts("listen shop", insertSql, "unlisten *") },
}
