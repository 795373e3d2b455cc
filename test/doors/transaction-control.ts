import { byHand, type Doors, insertSql, texts } from "./door"

const afterwards = (...statements: string[]) =>
  byHand(async (runner) => {
    const results: unknown[] = [await runner.query(insertSql)]
    for (const text of statements) results.push(await runner.query(text))
    return results
  })

/** Transactions started and ended by texts. */
export const transactionControlDoors: Doors = {
  "BEGIN and COMMIT as texts": { run: texts("BEGIN", insertSql, "COMMIT") },
  "BEGIN and END": { run: texts("begin work;", insertSql, "END") },
  "BEGIN with modes": {
    run: texts("BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE", insertSql, "commit work"),
  },
  "START TRANSACTION with modes": {
    run: texts(
      "start transaction isolation level serializable not deferrable",
      insertSql,
      "COMMIT TRANSACTION ;",
    ),
  },
  "BEGIN twice": { run: texts("begin", "begin", insertSql, "commit") },
  "COMMIT without a transaction": { run: texts("commit", insertSql, "commit") },
  "BEGIN in mixed case, behind a comment": { run: texts("/* x */ Begin", insertSql, "CoMmIt") },
  "COMMIT behind a comment": { run: afterwards("/* x */ commit", "BEGIN") },
  "COMMIT behind a comment with a semicolon": { run: afterwards("/* ; */ -- x\n commit", "BEGIN") },
  "COMMIT behind a line comment": { run: afterwards("-- x\ncommit", "BEGIN") },
  "COMMIT behind a nested comment": { run: afterwards("/* a /* b */ c */ commit", "BEGIN") },
  "COMMIT before a comment": { run: afterwards("commit -- x", "BEGIN") },
  "COMMIT between semicolons": { run: afterwards(";;commit;;", "BEGIN") },
  "END as text": { run: afterwards("end work;", "BEGIN") },
  "COMMIT AND CHAIN": { run: afterwards("COMMIT AND CHAIN") },
  "COMMIT AND CHAIN, then more": { run: afterwards("commit and chain", "update item set stock = 3") },
  "END AND CHAIN": { run: afterwards("end transaction and chain") },
  "COMMIT AND NO CHAIN": { run: afterwards("COMMIT AND NO CHAIN", "BEGIN") },
  "ROLLBACK AND CHAIN, then a write": {
    run: byHand(async (runner) => [
      await runner.query("update item set stock = 3"),
      await runner.query("rollback and chain"),
      await runner.query(insertSql),
    ]),
  },
  "ABORT, then a write": {
    run: texts("begin", "update item set stock = 3", "abort", insertSql),
  },
  "COMMIT among several statements": {
    run: afterwards(`${insertSql.replace("crate", "drill")}; commit`, "BEGIN"),
  },
  "ROLLBACK, then more, in one text": {
    run: byHand(async (runner) => [
      await runner.query(`rollback; ${insertSql}`),
      await runner.query("BEGIN"),
    ]),
  },
  "a write and COMMIT in one text, BEGIN in another": { run: texts("begin", `${insertSql}; commit`) },
  "BEGIN and a write in one text, COMMIT in another": { run: texts(`begin; ${insertSql}`, "commit") },
  "BEGIN and COMMIT in one text": { run: texts(`begin; ${insertSql}; commit`) },
  "BEGIN and ROLLBACK in one text": {
    run: texts(`begin; ${insertSql}; rollback`),
    changesNothing: "it rolls back; several statements that may end a transaction are vetoed, as documented",
  },
  "SET TRANSACTION in a manual transaction": {
    run: byHand(async (runner) => [
      await runner.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
      await runner.query(insertSql),
    ]),
  },
  "SET TRANSACTION in a text of several statements": {
    run: texts("begin", `set transaction isolation level serializable; ${insertSql}; commit`),
  },
  "SET TRANSACTION after COMMIT AND CHAIN in a text of several statements": {
    run: texts("begin", "select 1; commit and chain", "set transaction read write", insertSql, "commit"),
  },
  "SET TRANSACTION READ WRITE": {
    run: texts("begin read only", "set transaction read write", insertSql, "commit"),
  },
  "SET LOCAL": { run: texts("begin", "set local statement_timeout = 60000", insertSql, "commit") },
  "SAVEPOINT and RELEASE": {
    run: byHand(async (runner) => [
      await runner.query("SAVEPOINT one"),
      await runner.query(insertSql),
      await runner.query("RELEASE one"),
    ]),
  },
  "ROLLBACK TO a savepoint, then a write": {
    run: texts(
      "begin",
      "savepoint one",
      "update item set stock = 3",
      "rollback to one",
      insertSql,
      "release savepoint one",
      "commit",
    ),
  },
  "ROLLBACK TO a savepoint before all writes": {
    run: texts("begin", "savepoint one", insertSql, "rollback to savepoint one", "commit"),
    changesNothing: "it is rolled back; taken for a write, as documented",
  },
  "an error, ROLLBACK TO a savepoint, a write": {
    run: byHand(async (runner) => {
      await runner.query("savepoint one")
      const error: unknown = await runner.query("select 1 / 0").catch((failure: unknown) => failure)
      await runner.query("rollback to one")
      return [error, await runner.query(insertSql)]
    }),
  },
  "PREPARE TRANSACTION": {
    run: (d, site) => texts("begin", insertSql, `prepare transaction '${site.name}'`)(d, site),
  },
  "PREPARE TRANSACTION in a transaction of TypeORM": {
    run: (d, site) => afterwards(`prepare transaction '${site.name}'`, "begin")(d, site),
  },
  "COMMIT PREPARED": {
    run: (d, site) =>
      texts(
        "begin",
        insertSql,
        `prepare transaction '${site.name}'`,
        `commit prepared '${site.name}'`,
      )(d, site),
  },
  "COMMIT PREPARED of an outsider's transaction": {
    arrange: (site) => site.sql(`begin; ${insertSql}; prepare transaction '${site.name}'`),
    run: (d, site) => d.query(`/* now */ commit prepared '${site.name}'`),
  },
  "ROLLBACK PREPARED of an outsider's transaction": {
    arrange: (site) => site.sql(`begin; ${insertSql}; prepare transaction '${site.name}'`),
    run: (d, site) => d.query(`rollback prepared '${site.name}'`),
  },
}
