import type { DataSource, QueryRunner } from "typeorm"
import { MaintenanceError } from "../errors"
import type { Actor } from "../mode/actor"
import { restrictionOf } from "../mode/restriction"
import type { StateView } from "../watch/state-view"
import { isFencedQueryRunner } from "./query-runner"
import { replaceMethod, type Undo } from "./replace-method"

/**
 * Keeps the database query cache from turning reads into writes. `find({ cache: true })` writes a row to
 * `query-result-cache`, in the transaction that it reads in. That row is not written while a window restricts
 * the actor, as far as is known. In a transaction it is written after the commit, so that a transaction that
 * only read stays one. Other cache providers are left alone. `setOptions()` may create a new cache. Returns
 * the undo.
 */
export function keepReadsFromWriting(dataSource: DataSource, state: StateView, actor: () => Actor): Undo {
  const mayWrite = () => {
    const status = state.known?.status
    return status === undefined || restrictionOf(status, actor()) === "none"
  }
  let undo = keepCacheFromWriting(dataSource, mayWrite)
  const undoOptions = replaceMethod(dataSource, "setOptions", (setOptions) => (options) => {
    undo()
    try {
      return setOptions.call(dataSource, options)
    } finally {
      undo = keepCacheFromWriting(dataSource, mayWrite)
    }
  })
  return () => {
    undoOptions()
    undo()
  }
}

function keepCacheFromWriting(dataSource: DataSource, mayWrite: () => boolean): Undo {
  const cache = dataSource.queryResultCache
  // Not detected by the class name, which bundlers change.
  if (!cache || !("queryResultCacheTable" in cache)) return () => undefined
  return replaceMethod(cache, "storeInCache", (storeInCache) => async (options, savedCache, queryRunner) => {
    if (!mayWrite()) return
    const store = (runner?: QueryRunner) => storeInCache.call(cache, options, savedCache, runner)
    if (isFencedQueryRunner(queryRunner) && queryRunner.isTransactionActive) {
      queryRunner.afterCommit(() =>
        store(queryRunner).catch((error) =>
          dataSource.logger.log("warn", `A query result was not cached: ${error}`),
        ),
      )
      return
    }
    await store(queryRunner).catch((error) => {
      if (!(error instanceof MaintenanceError)) throw error
    })
  })
}
