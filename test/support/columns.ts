/**
 * Defines tests that cannot run everywhere: they need a version of PostgreSQL or TypeORM, or a program. Every
 * other test runs in every column of the matrix. If there is a reason, prints it instead.
 */
export function describeUnless(reason: string | undefined, title: string, define: () => void): void {
  if (reason === undefined) describe(title, define)
  else console.log(`- ${title}: not run, because ${reason}`)
}
