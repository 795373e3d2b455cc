import { expect } from "chai"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as pause } from "node:timers/promises"
import { temporaryFolder } from "../watchdog"

/** Ways to start and end the tests. `group` receives the signal as with Ctrl-C. */
const endings = [
  { start: "npx", mode: "parallel", signal: "SIGINT", to: "group" },
  { start: "npx", mode: "no-parallel", signal: "SIGTERM", to: "process" },
  { start: "shell", mode: "parallel", signal: "SIGTERM", to: "process" },
  { start: "node", mode: "parallel", signal: "SIGKILL", to: "process" },
] as const

const mocha = [
  ...["--no-config", "--no-package", "--require", "build/test/support/root-hooks.js", "--reporter", "min"],
  "build/test/support/suite/hanging.js",
]
const root = join(__dirname, "../../../..")
const { MAINTENANCE_SERVER_URL: _, ...withoutServer } = process.env

/** Commands that run Mocha, directly or below another process. Only the first process is told to end. */
const commands = {
  node: [process.execPath, join(root, "node_modules/mocha/bin/mocha.js")],
  npx: ["npx", "mocha"],
  // As npm runs a script of several commands.
  shell: ["/bin/sh", "-c", `true && ${process.execPath} node_modules/mocha/bin/mocha.js "$@"`, "sh"],
} as const

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** The process id of the test server, once the tests are running. */
async function serverOf(child: ChildProcess): Promise<number> {
  for await (const line of createInterface(child.stdout as NodeJS.ReadableStream)) {
    const [, pid] = /server (\d+)/.exec(line) ?? []
    if (pid !== undefined) return Number(pid)
  }
  throw new Error("The tests have ended by themselves.")
}

describe("Tests that are ended while they run", () => {
  for (const { start, mode, signal, to } of endings) {
    it(`leave neither a server nor its data: ${signal} to the ${to} of ${start} (${mode})`, async () => {
      const folder = temporaryFolder("maintenance-signals-")
      // The server runs as another user if this process is root.
      chmodSync(folder, 0o755)
      const [command, ...args] = commands[start]
      const child = spawn(command, [...args, `--${mode}`, ...mocha], {
        cwd: root,
        detached: true,
        stdio: ["ignore", "pipe", "inherit"],
        env: { ...withoutServer, TMPDIR: folder },
      })
      const server = await serverOf(child)
      expect(isRunning(server)).to.equal(true)
      const pid = child.pid as number
      process.kill(to === "group" ? -pid : pid, signal)
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
      while (isRunning(server) || readdirSync(folder).length > 0) await pause(50)
    })
  }
})
