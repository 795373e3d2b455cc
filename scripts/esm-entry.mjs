// Writes the ESM entry: it re-exports the CommonJS build by name, so both worlds share one instance of every class.
import { createRequire } from "node:module"
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const dist = new URL("../dist/", import.meta.url)
const names = Object.keys(createRequire(import.meta.url)(fileURLToPath(new URL("index.js", dist)))).sort()
writeFileSync(
  new URL("index.mjs", dist),
  `import entry from "./index.js"\n\n${names.map((name) => `export const ${name} = entry.${name}\n`).join("")}`,
)
writeFileSync(new URL("index.d.mts", dist), `export * from "./index.js"\n`)
