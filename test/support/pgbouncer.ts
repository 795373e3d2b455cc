import { type ChildProcess, spawn } from "node:child_process"
import { accessSync, chmodSync, constants, mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort, unprivilegedUser } from "./embedded-server"
import { Watched } from "./watchdog"

/** Debian's location is not in every user's PATH. */
const path = `${process.env["PATH"]}:/usr/sbin`

/** The reason why pgbouncer is unavailable, or undefined. */
export function pgbouncerMissing(): string | undefined {
  const isThere = path.split(":").some((folder) => {
    try {
      accessSync(join(folder, "pgbouncer"), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
  return isThere ? undefined : "the program pgbouncer is not installed"
}

/** A real pgbouncer in front of a server. The program must be installed (Debian's package pgbouncer). */
export class PgBouncer {
  readonly url: string
  readonly #process: ChildProcess
  readonly #watched: Watched

  private constructor(url: string, process: ChildProcess, watched: Watched) {
    this.url = url
    this.#process = process
    this.#watched = watched
  }

  /** Starts a pgbouncer that assigns connections by transaction or by session, with at most so many to the server. */
  static async start(target: string, mode: "transaction" | "session", poolSize = 8): Promise<PgBouncer> {
    const { hostname, port, pathname, username } = new URL(target)
    const home = mkdtempSync(join(tmpdir(), "maintenance-pgbouncer-"))
    const watched = Watched.folder(home)
    chmodSync(home, 0o755)
    const config = join(home, "pgbouncer.ini")
    const ownPort = await freePort()
    writeFileSync(
      config,
      `[databases]\n* = host=${hostname} port=${port} user=${username}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n` +
        `listen_port = ${ownPort}\nunix_socket_dir =\nauth_type = any\npool_mode = ${mode}\ndefault_pool_size = ${poolSize}\n`,
    )
    // It refuses to run as root.
    const runner = process.getuid?.() === 0 ? unprivilegedUser() : undefined
    const child = spawn("pgbouncer", [config], {
      ...runner,
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, PATH: path },
    })
    watched.runs(child.pid)
    await new Promise<void>((resolve, reject) => {
      let log = ""
      child.stderr.on("data", (chunk: Buffer) => {
        log += chunk.toString()
        if (log.includes("process up")) resolve()
      })
      child.once("error", reject)
      child.once("exit", (code) => reject(new Error(`pgbouncer exited with ${code}:\n${log}`)))
    })
    return new PgBouncer(`postgres://${username}@127.0.0.1:${ownPort}${pathname}`, child, watched)
  }

  async stop(): Promise<void> {
    const exit = new Promise((resolve) => this.#process.once("exit", resolve))
    this.#process.kill("SIGTERM")
    await exit
    this.#watched.remove()
  }
}
