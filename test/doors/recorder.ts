import type { EntitySubscriberInterface, Logger } from "typeorm"
import { inNoOrder, textInNoOrder } from "./catalog-order"
import { lines } from "./outcome"

/**
 * All calls of the logger and the subscribers of a DataSource, in order. The rows of the catalog are sorted,
 * because PostgreSQL returns them in any order.
 */
export class Recorder {
  #lines: string[] = []

  readonly logger: Logger = {
    logQuery: (query, parameters) => this.#add("query", query, parameters),
    logQueryError: (error, query, parameters) => this.#add("query failed", error, query, parameters),
    // Durations are omitted: with maxQueryExecutionTime below 0, every query is slow.
    logQuerySlow: (_time, query, parameters) => this.#add("query was slow", query, parameters),
    logSchemaBuild: (message) => this.#add("schema build", message),
    logMigration: (message) => this.#add("migration", message),
    log: (level, message) => this.#add(level, message),
  }

  /** Everything recorded since the last call. */
  take(): string[] {
    return this.#lines.splice(0)
  }

  /** A subscriber, to be added to `dataSource.subscribers`. */
  readonly subscriber: EntitySubscriberInterface = Object.fromEntries(
    [
      "beforeQuery",
      "afterQuery",
      "beforeTransactionStart",
      "afterTransactionStart",
      "beforeTransactionCommit",
      "afterTransactionCommit",
      "beforeTransactionRollback",
      "afterTransactionRollback",
      "beforeInsert",
      "afterInsert",
      "beforeUpdate",
      "afterUpdate",
      "beforeRemove",
      "afterRemove",
      "beforeSoftRemove",
      "afterSoftRemove",
      "beforeRecover",
      "afterRecover",
    ].map((name) => [name, (event: object) => this.#add(name, factsOf(event))]),
  )

  #add(...line: unknown[]): void {
    this.#lines.push(...lines(line.map((part) => (typeof part === "string" ? textInNoOrder(part) : part))))
  }
}

/** The properties of an event, without its TypeORM objects and its duration. */
function factsOf(event: object): unknown {
  const { connection, dataSource, queryRunner, manager, metadata, executionTime, ...facts } = event as Record<
    string,
    unknown
  >
  const told = { connection, dataSource, queryRunner, manager }
  return {
    ...inNoOrder(facts),
    updatedColumns: namesOf(facts["updatedColumns"]),
    updatedRelations: namesOf(facts["updatedRelations"]),
    entityName: (metadata as { name?: string } | undefined)?.name,
    isTimed: typeof executionTime,
    comesWith: Object.entries(told).flatMap(([name, value]) => (value ? [name] : [])),
  }
}

function namesOf(properties: unknown): string[] | undefined {
  return (properties as { propertyName: string }[] | undefined)?.map(({ propertyName }) => propertyName)
}
