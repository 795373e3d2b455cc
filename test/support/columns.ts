/**
 * Defines tests that cannot run everywhere: on another version of PostgreSQL or of TypeORM, or without a program. Every
 * other test runs in every column of the matrix. The reason, if there is one, is printed instead.
 */
export function describeUnless(reason: string | undefined, title: string, define: () => void): void {
  if (reason === undefined) describe(title, define)
  else console.log(`- ${title}: not run, because ${reason}`)
}
