// Writes the ESM entries: each re-exports the CommonJS build by name, so both worlds share one instance of every class.
import { createRequire } from "node:module"
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

for (const folder of ["../dist/", "../dist/panel/"]) {
  const entry = new URL(folder, import.meta.url)
  const names = Object.keys(createRequire(import.meta.url)(fileURLToPath(new URL("index.js", entry)))).sort()
  writeFileSync(
    new URL("index.mjs", entry),
    `import entry from "./index.js"\n\n${names.map((name) => `export const ${name} = entry.${name}\n`).join("")}`,
  )
  writeFileSync(new URL("index.d.mts", entry), `export * from "./index.js"\n`)
}
