import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import type { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** File in a watched folder with the id of the process that runs there. */
const pidFile = "watched.pid"

/**
 * Waits for the end of its input, which comes with any end of the parent process. Then it stops the process
 * that runs in the folder, whose data is disposable. It removes the folder, repeatedly while files are still
 * created there.
 */
const script = `
cat > /dev/null
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ -e "$1" ] || exit
  [ -e "$1/${pidFile}" ] && kill -QUIT "$(cat "$1/${pidFile}")" 2> /dev/null
  rm -rf "$1" 2> /dev/null
  sleep 0.2
done`

/** A folder, and a server that runs in it, which must not outlive this process. */
export class Watched {
  readonly #folder: string
  readonly #release: () => void

  private constructor(folder: string, release: () => void) {
    this.#folder = folder
    this.#release = release
  }

  /** Starts a watchdog process that removes the folder when this process ends, even by Ctrl-C or SIGKILL. */
  static folder(folder: string): Watched {
    // Detached, so that Ctrl-C does not reach it. Only this process holds the other end of its input.
    const watchdog = spawn("/bin/sh", ["-c", script, "watchdog", folder], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    })
    const input = watchdog.stdin as Socket
    watchdog.unref()
    input.unref()
    return new Watched(folder, () => input.end())
  }

  /** Records the process that runs in the folder and must be stopped first, or that it has ended. */
  runs(pid: number | undefined): void {
    const file = join(this.#folder, pidFile)
    if (pid === undefined) rmSync(file, { force: true })
    else writeFileSync(file, String(pid))
  }

  /** Removes the folder now. */
  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    this.#release()
  }
}

/** Creates a temporary folder that does not outlive this process. */
export function temporaryFolder(prefix: string): string {
  const folder = mkdtempSync(join(tmpdir(), prefix))
  Watched.folder(folder)
  return folder
}
