// Runs the compiled tests in every column: TypeORM 1.x and 0.3 on PostgreSQL 18 and 15, and behind pgbouncer.
// `--without NAME` leaves a column out.
import { spawn } from "node:child_process"
import { once } from "node:events"

const on03 = { NODE_OPTIONS: "--require=./test/support/typeorm-0.3.cjs" }
const on15 = { MAINTENANCE_TEST_POSTGRES: "15" }
const columns = [
  { name: "TypeORM 1.x, PostgreSQL 18" },
  { name: "TypeORM 0.3, PostgreSQL 18", env: on03 },
  { name: "TypeORM 1.x, PostgreSQL 15", env: on15 },
  { name: "TypeORM 0.3, PostgreSQL 15", env: { ...on03, ...on15 } },
  { name: "pgbouncer", args: ["--config", "test/mocharc.pgbouncer.json"] },
]

const [option, left] = process.argv.slice(2)
const isKnown = columns.some(({ name }) => name === left)
if (option !== undefined && !(option === "--without" && isKnown)) {
  const names = columns.map(({ name }) => `"${name}"`).join(", ")
  throw new Error(`The only option is --without and a column's name: ${names}.`)
}

let running
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
  process.once(signal, () => {
    running?.kill(signal)
    process.exit(1)
  })

const failed = []
for (const { name, env, args = [] } of columns.filter((column) => column.name !== left)) {
  console.log(`\n${name}`)
  running = spawn("mocha", args, { stdio: "inherit", env: { ...process.env, ...env } })
  const [code] = await once(running, "exit")
  if (code !== 0) failed.push(name)
}
if (failed.length > 0) {
  console.error(`Failed: ${failed.join("; ")}.`)
  process.exitCode = 1
}
