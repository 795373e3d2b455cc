import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"

const main = join(process.cwd(), "build/src/cli/main.js")

/** The environment of a command: nothing of this process's that would name a database or a user. */
export type Environment = Readonly<Record<string, string>>

/** The result of a command. */
export interface Ran {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A command that runs. */
export interface Running {
  readonly child: ChildProcess
  /** What it has printed so far. */
  readonly printed: () => { readonly stdout: string; readonly stderr: string }
  readonly ended: Promise<Ran>
}

/** Starts the command line as a process. `environment` is added to what every process has. */
export function startCli(args: readonly string[], environment: Environment = {}): Running {
  return start(process.execPath, [main, ...args], environment)
}

/** Runs the command line as a process. */
export function runCli(args: readonly string[], environment: Environment = {}): Promise<Ran> {
  return startCli(args, environment).ended
}

/**
 * Starts the command line in a pseudo-terminal, so that it asks and draws. What is written to its `stdin` is typed.
 * Both outputs are its `stdout`. util-linux's `script` makes the terminal.
 */
export function startInTerminal(args: readonly string[], environment: Environment = {}): Running {
  const command = [process.execPath, main, ...args]
    .map((part) => `'${part.replaceAll("'", `'\\''`)}'`)
    .join(" ")
  const sized = `stty cols 120 rows 40; exec ${command}`
  return start("script", ["--quiet", "--return", "--echo", "never", "--command", sized, "/dev/null"], {
    TERM: "xterm",
    SHELL: "/bin/sh",
    ...environment,
  })
}

function start(program: string, args: readonly string[], environment: Environment): Running {
  const { PATH = "", HOME = "" } = process.env
  const child = spawn(program, args, { env: { PATH, HOME, ...environment }, stdio: ["pipe", "pipe", "pipe"] })
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
  const ended = new Promise<Ran>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { child, printed: () => ({ stdout, stderr }), ended }
}
