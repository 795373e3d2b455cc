const isTrue = (value: string) => value === "t"

/** How the values of these types are read, by their OIDs; those of all others are left as PostgreSQL writes them. */
const parsers = new Map<number, (value: string) => unknown>([
  [16, isTrue], // boolean
  [20, Number], // bigint: of ours none is beyond 2^53
  [21, Number], // smallint
  [23, Number], // integer
  [701, Number], // double precision
])

/**
 * How this package reads what its own statements return, as the option `types` of pg's clients and queries. The parsers that
 * pg has are the application's, who may have set others (`pg.types.setTypeParser`, `types`, `parseInt8`).
 */
export const plainValues = {
  getTypeParser: (oid: number): ((value: string) => unknown) => parsers.get(oid) ?? String,
}
