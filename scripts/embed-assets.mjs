// Writes the style sheet and the script of the control panel into a TypeScript module, each with a hash in its name, so
// that nothing is read from disk at run time.
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"

const folder = new URL("../src/panel/", import.meta.url)
const asset = (file, type) => {
  const text = readFileSync(new URL(`assets/${file}`, folder), "utf8")
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 12)
  return { name: file.replace(".", `-${hash}.`), type, text }
}
const assets = {
  css: asset("panel.css", "text/css; charset=utf-8"),
  js: asset("panel.js", "text/javascript; charset=utf-8"),
}
writeFileSync(
  new URL("assets.ts", folder),
  `// Generated from src/panel/assets by scripts/embed-assets.mjs.
/** A file of the control panel. */
export interface Asset {
  readonly name: string
  readonly type: string
  readonly text: string
}

export const assets: { readonly css: Asset; readonly js: Asset } = ${JSON.stringify(assets, null, 2)}

/** The file of this name; undefined if there is none. */
export function assetNamed(name: string): Asset | undefined {
  return Object.values(assets).find((asset) => asset.name === name)
}
`,
)
