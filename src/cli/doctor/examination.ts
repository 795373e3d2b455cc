import type { Client, QueryResultRow } from "pg"
import type { MaintenanceReport } from "../../index"
import type { TargetOptions } from "../target"
import type { Finding } from "./finding"

/** The state and the connection that the checks examine. */
export interface Examination {
  readonly schema: string
  /** The options by which the database was found. */
  readonly options: TargetOptions
  /** The state, if it could be read. */
  readonly report: MaintenanceReport | undefined
  /** A connection of the doctor's own. */
  readonly client: Client
}

/** Examines one thing. */
export type Check = (examination: Examination) => Promise<readonly Finding[]>

/** The rows of a query. */
export async function rowsOf<Row extends QueryResultRow>(
  client: Client,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  return (await client.query<Row>(text, values)).rows
}

/** The only row of a query. */
export async function rowOf<Row extends QueryResultRow>(
  client: Client,
  text: string,
  values: unknown[] = [],
): Promise<Row> {
  return (await rowsOf<Row>(client, text, values))[0] as Row
}
