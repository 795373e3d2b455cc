import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { extname, resolve } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
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
  // What the file prints must not mix with the result.
  process.stdout.write = process.stderr.write.bind(process.stderr)
  try {
    return await onlyDataSource(load(file, path), path)
  } finally {
    Reflect.deleteProperty(process.stdout, "write")
  }
}

/** Longest time to wait for a DataSource that a file exports as a promise, in milliseconds. */
const loadWithinMs = 30_000

async function onlyDataSource(exported: unknown, path: string): Promise<DataSourceLike> {
  const found = new Set<DataSourceLike>()
  const rejections: unknown[] = []
  const candidates = isObject(exported) ? Object.values(exported) : []
  for (const candidate of [exported, ...candidates]) {
    const value = await settled(candidate, path).catch((error: unknown) => {
      if (error instanceof InputFault) throw error
      rejections.push(error)
    })
    if (isDataSource(value)) found.add(value)
    // The default export of a CommonJS module, as an ES module sees it.
    else if (isObject(value))
      for (const inner of Object.values(value)) if (isDataSource(inner)) found.add(inner)
  }
  const [dataSource, ...more] = found
  if (!dataSource && rejections.length > 0) throw notLoaded(path, rejections[0])
  if (!dataSource) throw new InputFault(`${path} exports no DataSource. Export the one of your application.`)
  if (more.length > 0)
    throw new InputFault(`${path} exports ${found.size} DataSources. Export one from a file of its own.`)
  return dataSource
}

/** Resolves or rejects with an exported value. Throws InputFault if it takes too long. */
async function settled(candidate: unknown, path: string): Promise<unknown> {
  const late = new AbortController()
  const tooLong = pause(loadWithinMs, undefined, { signal: late.signal }).then(() => {
    throw new InputFault(`${path} exports a promise that is not settled after ${loadWithinMs / 1000} s.`)
  })
  try {
    return await Promise.race([candidate, tooLong])
  } finally {
    late.abort()
    tooLong.catch(() => undefined)
  }
}

function load(file: string, path: string): unknown {
  try {
    if (/^\.[cm]?ts$/.test(extname(file))) registerTypescript(file)
    return createRequire(file)(file)
  } catch (cause) {
    if (cause instanceof InputFault) throw cause
    throw notLoaded(path, cause)
  }
}

function notLoaded(path: string, cause: unknown): InputFault {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new InputFault(`${path} could not be loaded: ${reason}`, { cause })
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
