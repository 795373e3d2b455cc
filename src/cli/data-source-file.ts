import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { extname, resolve } from "node:path"
import { InputFault } from "./input-fault"

/** The part of a DataSource that the command line reads. It is never initialized. */
export interface DataSourceLike {
  readonly options: Readonly<Record<string, unknown>> & { readonly type: string }
}

/** Loaders of TypeScript, in the order in which they are tried. The first one that the project has is used. */
const typescriptLoaders = [
  // The project's compiler is not run: types were checked elsewhere.
  ["ts-node", "ts-node/register/transpile-only"],
  ["@swc-node/register", "@swc-node/register"],
  ["tsx", "tsx/cjs"],
] as const

/**
 * Loads the only DataSource that a file exports, by TypeORM's convention for `-d`. Throws InputFault if there is none,
 * or more than one.
 */
export async function loadDataSource(path: string): Promise<DataSourceLike> {
  const file = resolve(path)
  if (!existsSync(file))
    throw new InputFault(`There is no file ${file}. Name the file that exports your DataSource with -d.`)
  if (/^\.[cm]?ts$/.test(extname(file))) registerTypescript(file)
  const exported = await load(file, path)
  const found = new Set<DataSourceLike>()
  for (const candidate of [exported, ...Object.values(exported)]) {
    const value: unknown = await candidate
    if (isDataSource(value)) found.add(value)
    // The default export of a CommonJS module, as an ES module sees it.
    else if (isObject(value))
      for (const inner of Object.values(value)) if (isDataSource(inner)) found.add(inner)
  }
  const [dataSource, ...more] = found
  if (!dataSource) throw new InputFault(`${path} exports no DataSource. Export the one of your application.`)
  if (more.length > 0)
    throw new InputFault(`${path} exports ${found.size} DataSources. Export one from a file of its own.`)
  return dataSource
}

async function load(file: string, path: string): Promise<Record<string, unknown>> {
  try {
    return createRequire(file)(file) as Record<string, unknown>
  } catch (cause) {
    throw new InputFault(`${path} could not be loaded: ${(cause as Error).message}`, { cause })
  }
}

/** Registers the project's loader of TypeScript, unless this process has one. */
function registerTypescript(file: string): void {
  const project = createRequire(file)
  if (require.extensions[".ts"] !== undefined) return
  for (const [, loader] of typescriptLoaders) {
    let resolved: string
    try {
      resolved = project.resolve(loader)
    } catch {
      continue
    }
    project(resolved)
    return
  }
  throw new InputFault(
    `${file} is TypeScript, and the project has none of ${typescriptLoaders.map(([name]) => name).join(", ")}. ` +
      "Install ts-node, or name the compiled file with -d.",
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null
}

/** Whether a value is a DataSource, of whichever copy of TypeORM. */
function isDataSource(value: unknown): value is DataSourceLike {
  return isObject(value) && value["@instanceof"] === Symbol.for("DataSource") && isObject(value["options"])
}
