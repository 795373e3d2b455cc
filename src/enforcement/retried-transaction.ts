import { setTimeout as pause } from "node:timers/promises"
import type { DataSource, EntityManager, QueryRunner } from "typeorm"
import { MaintenanceInputError } from "../errors"
import { runInQueryRunner } from "../identity/current-actor"
import { checkOptions, checkWork } from "../input"
import type { RefusalPolicy } from "../shared"
import { isRetryable } from "../sqlstate"

/** Options for `maintenance.transaction()`. */
export interface TransactionOptions {
  /** Isolation level. Default: that of the DataSource. */
  isolation?: "READ UNCOMMITTED" | "READ COMMITTED" | "REPEATABLE READ" | "SERIALIZABLE" | undefined
  /** Maximum number of retries after serialization failures (40001) and deadlocks (40P01). Default: 5. */
  retries?: number | undefined
  /**
   * The reaction to a window that restricts the current user: `"wait"` or `"throw"`. Default: that of the
   * surrounding code, or of the DataSource.
   */
  onRefused?: RefusalPolicy | undefined
}

const firstRetryMs = 5
const lastRetryMs = 500

/** Runs a transaction, and retries it after serialization failures and deadlocks. */
export async function retriedTransaction<T>(
  dataSource: DataSource,
  work: (manager: EntityManager) => Promise<T>,
  { isolation, retries = 5 }: TransactionOptions,
): Promise<T> {
  const run = (manager: EntityManager) =>
    runInQueryRunner(dataSource, manager.queryRunner as QueryRunner, () => work(manager))
  for (let attempt = 0; ; attempt++) {
    try {
      return await (isolation ? dataSource.transaction(isolation, run) : dataSource.transaction(run))
    } catch (error) {
      if (attempt >= retries || !mayBeRetried(error)) throw error
      await pause(Math.random() * Math.min(firstRetryMs * 2 ** attempt, lastRetryMs))
    }
  }
}

/** Checks the arguments of a caller. Throws MaintenanceInputError. */
export function checkTransaction(work: unknown, options: TransactionOptions): void {
  checkOptions(options, ["isolation", "retries", "onRefused"])
  checkWork("transaction()", work)
  const { retries = 5 } = options
  if (!Number.isInteger(retries) || retries < 0) {
    throw new MaintenanceInputError(`The option retries must be a whole number of 0 or more, not ${retries}.`)
  }
}

/** TypeORM wraps the errors of the server. */
function mayBeRetried(error: unknown): boolean {
  return isRetryable((error as { driverError?: unknown }).driverError ?? error)
}
