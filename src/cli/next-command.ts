import { basename, dirname, join, sep } from "node:path"
import { shellWord } from "./plain"
import type { TargetOptions } from "./target"

/** The other name under which the package installs this program. */
const shortName = "typeorm-maintenance"

/** A command of this program to run next, to be pasted. `options` are those by which this command found its database. */
export function nextCommand(command: string, { dataSource, schema }: TargetOptions = {}): string {
  return [
    `npx ${programName()} ${command}`,
    dataSource !== undefined && `-d ${shellWord(dataSource)}`,
    schema !== undefined && `--schema ${shellWord(schema)}`,
  ]
    .filter(Boolean)
    .join(" ")
}

/**
 * The name of the package, or the short name if this program was started by it in a project: elsewhere npx would take
 * that for another package.
 */
function programName(): string {
  const started = process.argv[1] ?? ""
  const project = join(dirname(started), "..", "..")
  const isOfProject =
    dirname(started) === join(project, "node_modules", ".bin") &&
    `${process.cwd()}${sep}`.startsWith(project + sep)
  return isOfProject && basename(started) === shortName ? shortName : "typeorm-maintenance-mode"
}
