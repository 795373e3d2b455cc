// A separate process that combines the decorators of this package and of typeorm-transactional in both
// orders, and reports the outcome of the writes. That library patches TypeORM for the whole process.
import "reflect-metadata"
import {
  addTransactionalDataSource,
  initializeTransactionalContext,
  Transactional,
} from "typeorm-transactional"
import { AsMaintainer, installMaintenance, WriteVetoedError } from "../../src"
import { newDataSource } from "./data-source"

/** The outcome of a write: that it was stored, or the refusal. */
export type Written = "stored" | Pick<WriteVetoedError, "detailedMessage" | "actedFor">

async function main(url: string): Promise<void> {
  initializeTransactionalContext()
  const dataSource = newDataSource(url)
  const maintenance = installMaintenance(dataSource)
  addTransactionalDataSource(dataSource)
  await dataSource.initialize()

  class Notes {
    @Transactional()
    @AsMaintainer("alice")
    committedByNobody(note: string) {
      return dataSource.query("insert into audit (note) values ($1)", [note])
    }

    @AsMaintainer("alice")
    @Transactional()
    committedByAlice(note: string) {
      return dataSource.query("insert into audit (note) values ($1)", [note])
    }
  }

  /** Follows the commits of transactions that only `dataSource.manager` knows. */
  const followed: string[] = []
  class Followed {
    @Transactional()
    async committed() {
      maintenance.afterCommit(() => followed.push("committed"))
      await dataSource.query("select 1")
      followed.push("in the transaction")
    }

    @Transactional()
    async rolledBack() {
      maintenance.afterCommit(() => followed.push("rolled back"))
      throw new Error("no")
    }
  }
  const calls = new Followed()
  await calls.committed()
  await calls.rolledBack().catch(() => undefined)

  const notes = new Notes()
  await maintenance.enter("concurrent", { as: "alice" })
  const written: Record<string, Written> = {}
  for (const method of ["committedByNobody", "committedByAlice"] as const) {
    written[method] = await notes[method](method).then(
      () => "stored" as const,
      ({ detailedMessage, actedFor }: WriteVetoedError) => ({ detailedMessage, actedFor }),
    )
  }
  await maintenance.leave({ as: "alice" })
  process.send?.({ ...written, followed })
  await dataSource.destroy()
  process.disconnect()
}

void main(process.argv[2] as string)
