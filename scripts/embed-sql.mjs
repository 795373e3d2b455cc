// Writes the numbered SQL files, and the version, into a TypeScript module, so that nothing is read from disk at run time.
import { readdirSync, readFileSync, writeFileSync } from "node:fs"

const folder = new URL("../src/state/steps/", import.meta.url)
const steps = readdirSync(folder)
  .filter((file) => file.endsWith(".sql"))
  .sort()
  .map((file, index) => {
    const version = Number(file.slice(0, 4))
    if (version !== index + 1) throw new Error(`${file}: expected number ${index + 1}`)
    const sql = readFileSync(new URL(file, folder), "utf8")
    return { version, name: file.slice(5, -4), sql }
  })
const { version: packageVersion } = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
)
writeFileSync(
  new URL("../src/state/schema-steps.ts", import.meta.url),
  `// Generated from src/state/steps and package.json by scripts/embed-sql.mjs.\n` +
    `export const packageVersion = ${JSON.stringify(packageVersion)}\n` +
    `export const schemaSteps: readonly { version: number; name: string; sql: string }[] = ${JSON.stringify(steps, null, 2)}\n`,
)
