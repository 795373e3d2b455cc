import { AsyncResource } from "node:async_hooks"
import type { DataSource, EntityManager, QueryRunner } from "typeorm"
import { MaintenanceInputError } from "../errors"
import { currentQueryRunner } from "../identity/current-actor"
import { textOf, warn } from "../notices"
import { type FencedQueryRunner, isFencedQueryRunner } from "./query-runner"

/**
 * Runs work after the outermost transaction has committed, in the context of this call; immediately if the
 * manager has no transaction open. Throws MaintenanceInputError if the transaction is not known.
 */
export function afterCommit(
  dataSource: DataSource,
  work: () => unknown,
  manager?: EntityManager | QueryRunner,
): void {
  const runner = manager === undefined ? runnerOfContext(dataSource) : runnerOf(dataSource, manager)
  const run = AsyncResource.bind(() => reported(work))
  if (runner?.isTransactionActive) runner.afterCommit(run)
  else void run()
}

/** The query runner of a manager, if it has one. */
function runnerOf(
  dataSource: DataSource,
  manager: EntityManager | QueryRunner,
): FencedQueryRunner | undefined {
  if (typeof manager !== "object" || manager === null) throw notOurs()
  const runner = "startTransaction" in manager ? manager : manager.queryRunner
  if (runner === undefined && manager.connection === dataSource) return undefined
  if (isFencedQueryRunner(runner) && runner.connection === dataSource) return runner
  throw notOurs()
}

function notOurs(): MaintenanceInputError {
  return new MaintenanceInputError(
    "The second argument of afterCommit() must be an entity manager or a query runner of this DataSource.",
  )
}

/**
 * Returns the query runner of `maintenance.transaction()`, or of a library that gives `dataSource.manager`
 * one for each context.
 */
function runnerOfContext(dataSource: DataSource): FencedQueryRunner {
  for (const runner of [currentQueryRunner(dataSource), dataSource.manager.queryRunner]) {
    if (isFencedQueryRunner(runner) && runner.connection === dataSource && runner.isTransactionActive)
      return runner
  }
  throw new MaintenanceInputError(
    "afterCommit() cannot determine which transaction is meant. Pass its manager: afterCommit(work, manager). " +
      "Without a manager, call afterCommit() within maintenance.transaction().",
  )
}

/** The transaction is committed: a failure cannot undo it, so it is a warning. */
async function reported(work: () => unknown): Promise<void> {
  try {
    await work()
  } catch (error) {
    warn(`The transaction is committed, but the work of an afterCommit() call failed: ${textOf(error)}`)
  }
}
