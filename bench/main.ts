// npm run bench [-- section...]: prints tables for docs/benchmarks.md.
import "reflect-metadata"
import { startServer } from "../test/support/server"
import { alone, calls, unprepared } from "./calls"
import { cpu } from "./cpu"
import { fleet } from "./fleet"
import { growth } from "./growth"
import { journal } from "./journal"
import { memory } from "./memory"
import { panel } from "./panel"
import { refusal } from "./refusal"
import { start } from "./start"
import { switching } from "./switching"

const sections: Record<string, (url: string) => Promise<void>> = {
  alone,
  calls,
  cpu,
  unprepared,
  growth,
  journal,
  refusal,
  start,
  switching,
  fleet,
  memory,
  panel,
}

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.find((name) => !Object.hasOwn(sections, name))
  if (unknown)
    throw new Error(`There is no section "${unknown}"; there are ${Object.keys(sections).join(", ")}.`)
  const server = await startServer()
  console.log(`On ${server.description}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.`)
  try {
    for (const name of names.length > 0 ? names : Object.keys(sections)) await sections[name]?.(server.url)
  } finally {
    await server.stop()
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
