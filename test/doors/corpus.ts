import { clientDoors } from "./clients"
import type { Doors } from "./door"
import { failingDoors } from "./failing"
import { neverRolledBackDoors } from "./never-rolled-back"
import { queryBuilderDoors } from "./query-builders"
import { submittableDoors } from "./query-objects"
import { repositoryDoors } from "./repositories"
import { schemaDoors } from "./schema-changes"
import { selfCommittingDoors, severalStatementsDoors } from "./self-committing"
import { statementDoors } from "./statements"
import { streamDoors } from "./streams"
import { sessionDoors } from "./sessions"
import { transactionControlDoors } from "./transaction-control"
import { transactionDoors } from "./transactions"
import { triggerDoors } from "./triggers-and-views"

/** All tested ways to change data, by group. */
export const corpus: Record<string, Doors> = {
  repositories: repositoryDoors,
  "query builders": queryBuilderDoors,
  statements: statementDoors,
  "changes of the schema": schemaDoors,
  transactions: transactionDoors,
  "transaction control": transactionControlDoors,
  sessions: sessionDoors,
  "statements that commit by themselves": selfCommittingDoors,
  "several statements in one text": severalStatementsDoors,
  clients: clientDoors,
  "query objects": submittableDoors,
  streams: streamDoors,
  "triggers and views": triggerDoors,
  "what is never rolled back": neverRolledBackDoors,
  "what fails": failingDoors,
}
