import { abandon, byHand, type Doors, insertSql, rowsOf, withRunner } from "./door"

const writing = "select write_audit(g::text) from generate_series(1, 300) g"
const failing = "select write_audit((1 / (250 - g))::text) from generate_series(1, 300) g"
const reading = "select g from generate_series(1, 300) g"

/** `queryRunner.stream()`. */
export const streamDoors: Doors = {
  "stream of a writing function": {
    run: (d) => withRunner(d, async (runner) => rowsOf(await runner.stream("select write_audit($1)", ["x"]))),
  },
  "stream of many rows": {
    run: (d) => withRunner(d, async (runner) => rowsOf(await runner.stream(writing))),
  },
  "stream that declares a cursor WITH HOLD over a writing function": {
    run: (d) =>
      withRunner(d, async (runner) => [
        await rowsOf(await runner.stream("declare held cursor with hold for select write_audit('x')")),
        await runner.query("close held"),
      ]),
  },
  "stream of an insert": {
    run: (d) => withRunner(d, async (runner) => rowsOf(await runner.stream(`${insertSql} returning name`))),
  },
  "stream of an insert without rows": {
    run: (d) => withRunner(d, async (runner) => rowsOf(await runner.stream(insertSql))),
  },
  "stream with listeners": {
    run: (d) =>
      withRunner(d, async (runner) => {
        const heard: unknown[] = []
        const stream = await runner.stream(
          writing,
          [],
          () => heard.push("end"),
          (error: Error) => heard.push(error),
        )
        return [await rowsOf(stream), heard]
      }),
  },
  "stream, then a statement": {
    run: (d) =>
      withRunner(d, async (runner) => [
        await rowsOf(await runner.stream(reading)),
        await runner.query(insertSql),
      ]),
  },
  "stream by a query builder": {
    run: async (d) =>
      withRunner(d, async (runner) =>
        rowsOf(
          await d.createQueryBuilder(runner).select("write_audit('x')", "note").from("tag", "tag").stream(),
        ),
      ),
  },
  "stream that fails half-way": {
    run: (d) => withRunner(d, async (runner) => rowsOf(await runner.stream(failing))),
    inConcurrent: "as in plain TypeORM",
    changesNothing: "PostgreSQL rolls it back, whatever the mode",
  },
  "stream that fails, then a write": {
    run: (d) =>
      withRunner(d, async (runner) => [
        await rowsOf(await runner.stream(failing)).catch((error: { code: string }) => error.code),
        await runner.query(insertSql),
      ]),
  },
  "stream abandoned half-way, then a write": {
    run: (d) =>
      withRunner(d, async (runner) => [
        await abandon(await runner.stream(reading), 10),
        await runner.query(insertSql),
      ]),
  },
  "stream of a writing function abandoned half-way": {
    run: (d) => withRunner(d, async (runner) => abandon(await runner.stream(writing), 10)),
    inConcurrent: "no error",
  },
  "stream in a transaction": {
    run: byHand(async (runner) => rowsOf(await runner.stream(writing))),
  },
  "stream in a SERIALIZABLE transaction": {
    run: byHand(async (runner) => rowsOf(await runner.stream(writing)), "SERIALIZABLE"),
  },
  "stream abandoned in a transaction": {
    run: byHand(async (runner) => [
      await runner.query(insertSql),
      await abandon(await runner.stream(reading), 10),
    ]),
  },
  "stream that fails in a transaction, then COMMIT": {
    run: byHand(async (runner) => {
      await runner.query(insertSql)
      return rowsOf(await runner.stream(failing)).catch((error: { code: string }) => error.code)
    }),
    inConcurrent: "as in plain TypeORM",
    changesNothing: "PostgreSQL rolls back at the COMMIT, whatever the mode",
  },
}
