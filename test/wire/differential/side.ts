import type { ClientBase, QueryResult } from "pg"
import * as pg from "pg"
import Cursor = require("pg-cursor")
import QueryStream = require("pg-query-stream")
import type { DataSource, QueryRunner } from "typeorm"
import type { WireClient } from "../../../src/wire/protocol"
import { contents, restore } from "./statements"
import { isText, type MethodStep, type Step, type TextStep, textOf } from "./step"

/** Queries of an outsider, on a connection of its own. */
export type Ask = (text: string) => Promise<QueryResult>

/**
 * The outcome of each step of a sequence, the rows stored after the last step, and the rows stored after a
 * rollback.
 */
export type Transcript = readonly unknown[]

/** The outcome of a step that does not finish. */
export const endless = "it does not end"

/** Time limit of a step. */
const patienceMs = Number(process.env["FUZZ_PATIENCE"] ?? 20_000)

/** One side of a comparison: a DataSource with a single connection, and its database. */
export class Side {
  readonly name: string
  readonly #dataSource: DataSource
  readonly #outsider: Ask
  #run = 0

  constructor(name: string, dataSource: DataSource, outsider: Ask) {
    this.name = name
    this.#dataSource = dataSource
    this.#outsider = outsider
  }

  /** Runs a sequence, and undoes all of it. */
  async transcriptOf(steps: readonly Step[]): Promise<Transcript> {
    return (await this.runOf(steps)).transcript
  }

  /** Does the same, and also returns the rows stored before. */
  async runOf(steps: readonly Step[]): Promise<{ before: unknown; transcript: Transcript }> {
    await this.#outsider(restore)
    const before = await this.contents()
    const runner = this.#dataSource.createQueryRunner()
    const client = (await runner.connect()) as ClientBase
    const run = `${++this.#run}`
    try {
      const shown: unknown[] = []
      for (const step of steps)
        shown.push(
          await inTime(
            client,
            outcomeOf(() => this.#perform(step, runner, client, run)),
          ),
        )
      // A savepoint shows the state of the connection: in a transaction, in a failed one, or in none.
      shown.push(await outcomeOf(async () => shownOf(await client.query("savepoint probe"))))
      shown.push(await this.contents())
      // Twice, because the first may begin another transaction.
      for (const text of ["rollback", "rollback"])
        shown.push(await outcomeOf(async () => shownOf(await client.query(text))))
      // Commits a prepared transaction, to show what it has written.
      await this.#outsider(`commit prepared '${this.name}'`).catch(() => undefined)
      shown.push(await this.contents())
      return { before, transcript: shown }
    } finally {
      // A lost connection has already shown in the outcomes.
      await client.query("discard all").catch(() => undefined)
      await runner.release()
    }
  }

  /** All rows stored. */
  async contents(): Promise<unknown> {
    return (await this.#outsider(contents)).rows[0]
  }

  async #perform(step: Step, runner: QueryRunner, client: ClientBase, run: string): Promise<unknown> {
    if (!isText(step)) return performMethod(step, runner)
    const text = textOf(step).replaceAll("GID", this.name)
    const values = step.values && [...step.values]
    switch (step.door) {
      case "runner":
        return shownOfRunner(await runner.query(text, values, true))
      case "client":
        return shownOf(await client.query(text, values))
      case "extended":
        return shownOf(await client.query({ text, queryMode: "extended" } as pg.QueryConfig))
      case "named":
        // A name unique to the run: pg remembers names that the session has deallocated.
        return shownOf(
          await client.query({ name: `${run} ${text}`.slice(0, 63), text, values } as pg.QueryConfig),
        )
      case "object":
        return shownOfObject(
          await new Promise<QueryResult>((resolve, reject) => submit(client, text, resolve, reject)),
        )
      case "cursor":
        return readBy(client, text, values)
      case "stream":
        return client.query(new QueryStream(text, values)).toArray()
      case "burst":
        return burst(step, client, this.name)
      default:
        return undefined
    }
  }
}

function submit(
  client: ClientBase,
  text: string,
  resolve: (result: QueryResult) => void,
  reject: (error: Error) => void,
): void {
  const query = new (pg.Query as unknown as new (text: string) => pg.Query & { callback: unknown })(text)
  query.callback = (error: Error | null, result: QueryResult) => (error ? reject(error) : resolve(result))
  client.query(query)
}

async function performMethod({ door, isolation }: MethodStep, runner: QueryRunner): Promise<unknown> {
  if (door === "startTransaction") await runner.startTransaction(isolation)
  else await runner[door]()
  return runner.isTransactionActive
}

async function readBy(client: ClientBase, text: string, values: unknown[] = []): Promise<unknown> {
  const cursor = client.query(new Cursor(text, values))
  try {
    return [await cursor.read(1), await cursor.read(10)]
  } finally {
    await cursor.close()
  }
}

/** The statements as separate texts, all sent at once. */
function burst({ statements }: TextStep, client: ClientBase, name: string): Promise<unknown> {
  const asked = statements.map((statement) =>
    outcomeOf(async () => shownOf(await client.query(statement.replaceAll("GID", name)))),
  )
  return Promise.all(asked)
}

async function outcomeOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return await work()
  } catch (error) {
    const { driverError = error } = error as { driverError?: unknown }
    const { code, name, message, position } = driverError as Error & { code?: string; position?: string }
    return code === undefined ? { error: `${name}: ${message}` } : { error: code, position }
  }
}

function shownOf(result: QueryResult | QueryResult[]): unknown {
  if (Array.isArray(result)) return result.map(shownOf)
  const { command, rowCount, rows, fields } = result
  return { command, rowCount, rows, fields: fields.map(({ name }) => name) }
}

/**
 * The command of a COMMIT in a failed transaction differs if it is the first statement of a query object, so
 * it is omitted.
 */
function shownOfObject(result: QueryResult | QueryResult[]): unknown {
  const shown = shownOf(result)
  return Array.isArray(shown)
    ? shown.map((one: object, at) => (at === 0 ? { ...one, command: "any" } : one))
    : shown
}

function shownOfRunner({
  raw,
  records,
  affected,
}: {
  raw: unknown
  records: unknown
  affected?: unknown
}): unknown {
  const shown = Array.isArray(raw) ? raw.map((one: unknown) => (isResult(one) ? shownOf(one) : one)) : raw
  return { raw: shown, records, affected }
}

function isResult(one: unknown): one is QueryResult {
  return typeof one === "object" && one !== null && "command" in one && "fields" in one
}

/** The outcome within the time limit. Otherwise, the connection is closed. */
async function inTime(client: ClientBase, work: Promise<unknown>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => {
    timer = setTimeout(() => {
      ;(client as unknown as WireClient).connection.stream.destroy()
      resolve(endless)
    }, patienceMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
