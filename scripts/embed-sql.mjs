// Writes the SQL of each version of the schema, and the version of the package, into a TypeScript module, so that nothing is read
// from disk at run time. A version is a folder of numbered files.
import { readdirSync, readFileSync, writeFileSync } from "node:fs"

const folder = new URL("../src/state/sql/", import.meta.url)
const steps = readdirSync(folder)
  .sort((one, other) => Number(one) - Number(other))
  .map((name, index) => {
    if (Number(name) !== index + 1) throw new Error(`src/state/sql/${name}: expected number ${index + 1}`)
    const files = readdirSync(new URL(`${name}/`, folder)).sort()
    const sql = files.map((file) => readFileSync(new URL(`${name}/${file}`, folder), "utf8")).join("\n")
    return { version: index + 1, sql }
  })
const { version: packageVersion } = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
)
writeFileSync(
  new URL("../src/state/schema-steps.ts", import.meta.url),
  `// Generated from src/state/sql and package.json by scripts/embed-sql.mjs.\n` +
    `export const packageVersion = ${JSON.stringify(packageVersion)}\n` +
    `export const schemaSteps: readonly { version: number; sql: string }[] = ${JSON.stringify(steps, null, 2)}\n`,
)
