import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"

/** The version of this package. */
export function packageVersion(): string {
  return versionAbove(__dirname, "typeorm-maintenance-mode") ?? "unknown"
}

/** The version of an installed package, as this package sees it; undefined if it is not installed. */
export function installedVersion(name: string): string | undefined {
  try {
    return versionAbove(dirname(require.resolve(name)), name)
  } catch {
    return undefined
  }
}

/** The version in the next package.json of this name, in a folder or above it. */
function versionAbove(folder: string, name: string): string | undefined {
  const found = manifestIn(folder)
  if (found?.name === name) return found.version
  return dirname(folder) === folder ? undefined : versionAbove(dirname(folder), name)
}

function manifestIn(folder: string): { name?: string; version?: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as object
  } catch {
    return undefined
  }
}
