/**
 * TypeORM asks the catalog without ORDER BY. The rows come in the order of the plan and of the tables' pages, both of which
 * an autovacuum changes between two runs, and TypeORM names the tables in that order in its next questions. Plain TypeORM
 * does not repeat it, so it is left out of what is compared.
 */
const ofCatalog = /\binformation_schema\b|\bpg_(catalog|class|constraint|type)\b/

/** A condition that names one table. */
const tableNamed = /\([^()']*'[^']*' AND [^()']*'[^']*'\)/g

/** The text of a query, with the tables that a question to the catalog names in the order of their names. */
export function textInNoOrder(text: string): string {
  if (!ofCatalog.test(text)) return text
  const named = [...text.matchAll(tableNamed)].map(([condition]) => condition).toSorted()
  return text.replaceAll(tableNamed, () => named.shift() as string)
}

/** The facts of an event, with the rows that the catalog answered in the order of what is in them. */
export function inNoOrder(facts: Record<string, unknown>): Record<string, unknown> {
  const { query, rawResults } = facts
  if (typeof query !== "string" || !ofCatalog.test(query)) return facts
  return {
    ...facts,
    query: textInNoOrder(query),
    ...(hasRows(rawResults) && { rawResults: sorted(rawResults) }),
  }
}

interface WithRows {
  readonly rows: readonly object[]
}

function hasRows(results: unknown): results is WithRows {
  return Array.isArray((results as Partial<WithRows> | undefined)?.rows)
}

function sorted(results: WithRows): WithRows {
  const rows = results.rows.map((row) => ({ row, key: JSON.stringify(row) }))
  const inOrder = rows.toSorted((one, other) => (one.key < other.key ? -1 : 1)).map(({ row }) => row)
  return Object.assign(Object.create(Object.getPrototypeOf(results) as object) as WithRows, results, {
    rows: inOrder,
  })
}
