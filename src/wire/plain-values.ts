const isTrue = (value: string) => value === "t"

/** Parsers for the values of these types, by OID. Values of other types stay as PostgreSQL writes them. */
const parsers = new Map<number, (value: string) => unknown>([
  [16, isTrue], // boolean
  [20, Number], // bigint: ours never exceed 2^53
  [21, Number], // smallint
  [23, Number], // integer
  [701, Number], // double precision
])

/**
 * Parses the results of this package's own statements, as the option `types` of pg's clients and queries.
 * pg's own parsers belong to the application, which may have replaced them (`pg.types.setTypeParser`,
 * `types`, `parseInt8`).
 */
export const plainValues = {
  getTypeParser: (oid: number): ((value: string) => unknown) => parsers.get(oid) ?? String,
}
