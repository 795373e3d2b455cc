import { basename } from "node:path"
import { shellWord } from "./plain"
import type { TargetOptions } from "./target"

/** Names under which the package installs this program. */
const names = ["typeorm-maintenance", "typeorm-maintenance-mode"] as const

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

/** The name by which this program was started: npx finds one anywhere, the other only where the package is installed. */
function programName(): string {
  const started = basename(process.argv[1] ?? "")
  return names.find((name) => name === started) ?? names[0]
}
