/**
 * TypeORM queries the catalog without ORDER BY. The order of the rows depends on the plan and on the pages of
 * the tables, and an autovacuum between two runs changes both. TypeORM names the tables in that order in its
 * next queries. Plain TypeORM is not deterministic here, so comparisons ignore the order.
 */
const ofCatalog = /\binformation_schema\b|\bpg_(catalog|class|constraint|type)\b/

/** A condition on one table. */
const tableNamed = /\([^()']*'[^']*' AND [^()']*'[^']*'\)/g

/** The text of a query. Tables in a catalog query are sorted by name. */
export function textInNoOrder(text: string): string {
  if (!ofCatalog.test(text)) return text
  const named = [...text.matchAll(tableNamed)].map(([condition]) => condition).toSorted()
  return text.replaceAll(tableNamed, () => named.shift() as string)
}

/** The properties of an event. Rows of the catalog are sorted by content. */
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
