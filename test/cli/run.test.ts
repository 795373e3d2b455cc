import { expect } from "chai"
import { readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { statusThat, until } from "../support/until"
import { temporaryFolder } from "../support/watchdog"
import { endWindow } from "../support/window"
import { runCli, startCli } from "./run-cli"

describe("The command line's run", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  afterEach(() => endWindow(installed.current.maintenance))

  const environment = () => ({ DATABASE_URL: database.current.url })
  const run = (options: readonly string[], ...command: string[]) =>
    runCli(["run", ...options, "--", ...command], environment())
  const node = (script: string) => [process.execPath, "-e", script] as const
  const status = () => installed.current.maintenance.status()
  const asAlice = ["--mode", "exclusive", "--as", "alice", "--reason", "reindex"]

  it("runs the command within the window as its maintainer, and leaves", async () => {
    const ran = await run(asAlice, ...node("console.log(process.env.MAINTENANCE_USER)"))
    expect(ran).to.include({ code: 0, stdout: "alice\n" })
    expect(await status()).to.include({ mode: "normal" })
    const [last] = await installed.current.maintenance.journal({ limit: 1 })
    expect(last).to.include({
      mode: "exclusive",
      maintainer: "alice",
      reason: "reindex",
      endedBecause: "left",
    })
  })

  it("lets a program with the plugin write, whose current user the environment names", async () => {
    const script = `
      const { DataSource } = require("typeorm")
      const { installMaintenance } = require(${JSON.stringify(join(process.cwd(), "build/src"))})
      const dataSource = new DataSource({ type: "postgres", url: process.env.DATABASE_URL })
      installMaintenance(dataSource, { currentUser: () => undefined })
      dataSource.initialize()
        .then(() => dataSource.query("create table if not exists made_in_window ()"))
        .then(() => dataSource.destroy())`
    const ran = await run(asAlice, ...node(script))
    expect(ran.code, ran.stderr).to.equal(0)
    expect(
      await database.current.sql("select to_regclass('made_in_window') is not null as made"),
    ).to.deep.equal([{ made: true }])
  })

  it("lets a program open windows of its own within it", async () => {
    const script = `
      const { DataSource } = require("typeorm")
      const { installMaintenance } = require(${JSON.stringify(join(process.cwd(), "build/src"))})
      const dataSource = new DataSource({ type: "postgres", url: process.env.DATABASE_URL })
      const maintenance = installMaintenance(dataSource)
      dataSource.initialize()
        .then(() => maintenance.during("concurrent", {}, () => console.log("within")))
        .then(() => dataSource.destroy())`
    expect(await run(asAlice, ...node(script))).to.include({ code: 0, stdout: "within\n" })
  })

  it("passes the exit code on, and leaves", async () => {
    expect((await run(asAlice, ...node("process.exit(42)"))).code).to.equal(42)
    expect(await status()).to.include({ mode: "normal" })
  })

  it("says 127 for a program that is not there, 126 for one that cannot be run, and leaves", async () => {
    const file = join(temporaryFolder("maintenance-run-"), "no-program")
    writeFileSync(file, "not a program")
    // By its path: with a folder in PATH that may not be read, the system says that of any name.
    expect(await run(asAlice, join(dirname(file), "no-such-program"))).to.include({ code: 127 })
    expect(await run(asAlice, file)).to.include({ code: 126 })
    expect(await status()).to.include({ mode: "normal" })
  })

  it("does not run the command if the mode cannot be entered", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "bob" })
    const ran = await run(asAlice, ...node("console.log('ran')"))
    expect(ran).to.include({ code: 125, stdout: "" })
    expect(ran.stderr).to.include(
      "A window stands: concurrent by bob. It would end with the command, so leave it first.\n",
    )
  })

  it("does not run it in a window that the maintainer holds already, and says how", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
    const ran = await run(asAlice, ...node("console.log('ran')"))
    expect(ran).to.include({ code: 125, stdout: "" })
    expect(ran.stderr).to.include(
      "To run the command within it, set MAINTENANCE_USER=alice in its environment instead.",
    )
    expect(await status()).to.include({ mode: "concurrent", maintainer: "alice" })
  })

  for (const [signal, code] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const) {
    it(`passes ${signal} on, waits for the command, and leaves`, async () => {
      const [program, ...args] = node("setInterval(() => {}, 1000); console.log('running')")
      const { child, ended, printed } = startCli(["run", ...asAlice, "--", program, ...args], environment())
      await until(() => printed().stdout.includes("running"))
      child.kill(signal)
      expect((await ended).code).to.equal(code)
      expect(await status()).to.include({ mode: "normal" })
    })
  }

  /** The environment of a `run` that loads a script first. */
  const withPreload = (script: string) => {
    const file = join(temporaryFolder("maintenance-run-"), "preload.cjs")
    writeFileSync(file, `if (process.argv[2] === "run") { ${script} }`)
    return { ...environment(), NODE_OPTIONS: `--require ${file}` }
  }

  it("stays with a command to which it may not send a signal, and leaves after it", async () => {
    // As for a command of another user (sudo): the system refuses kill() with EPERM.
    const refusing = withPreload(`
      const { ChildProcess } = require("node:child_process")
      const { spawn } = ChildProcess.prototype
      ChildProcess.prototype.spawn = function (...args) {
        const result = spawn.apply(this, args)
        this._handle.kill = () => (setImmediate(() => console.error("refused")), -require("node:os").constants.errno.EPERM)
        return result
      }`)
    const [program, ...args] = node(
      "process.stdin.once('data', () => process.exit(0)); console.log('running')",
    )
    const { child, ended, printed } = startCli(["run", ...asAlice, "--", program, ...args], refusing)
    await until(() => printed().stdout.includes("running"))
    child.kill("SIGTERM")
    await until(() => printed().stderr.includes("refused"))
    expect(await status()).to.include({ mode: "exclusive" })
    child.stdin?.write("go on\n")
    expect(await ended).to.include({ code: 0 })
    expect(await status()).to.include({ mode: "normal" })
  })

  it("passes a signal on that arrives while it starts the command, and leaves", async () => {
    const interrupting = withPreload(`
      const { ChildProcess } = require("node:child_process")
      const { spawn } = ChildProcess.prototype
      ChildProcess.prototype.spawn = function (...args) {
        process.kill(process.pid, "SIGINT")
        return spawn.apply(this, args)
      }`)
    const [program, ...args] = node("setInterval(() => {}, 1000)")
    const ran = await runCli(["run", ...asAlice, "--", program, ...args], interrupting)
    expect(ran).to.include({ code: 130, signal: null })
    expect(await status()).to.include({ mode: "normal" })
  })

  it("leaves its window to the grace if it is killed with -9", async () => {
    const pidFile = join(temporaryFolder("maintenance-run-"), "pid")
    const [program, ...args] = node(
      `require("fs").writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); setInterval(() => {}, 1000); console.log('running')`,
    )
    const { child, ended, printed } = startCli(
      ["run", ...asAlice, "--grace", "1s", "--", program, ...args],
      environment(),
    )
    await until(() => printed().stdout.includes("running"))
    expect(await status()).to.include({ mode: "exclusive", graceMs: 1000 })
    child.kill("SIGKILL")
    process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL")
    await ended
    await statusThat(installed.current.maintenance, ({ mode }) => mode === "normal")
    const [last] = await installed.current.maintenance.journal({ limit: 1 })
    expect(last).to.include({ endedBecause: "lost" })
  })

  it("says if the window was over before the command had ended", async () => {
    const [program, ...args] = node(
      "process.stdin.once('data', () => process.exit(0)); console.log('running')",
    )
    const { child, ended, printed } = startCli(["run", ...asAlice, "--", program, ...args], environment())
    await until(() => printed().stdout.includes("running"))
    await installed.current.maintenance.leave({ as: "break-glass" })
    child.stdin?.write("go on\n")
    const ran = await ended
    expect(ran.code).to.equal(5)
    expect(ran.stderr).to.include(
      "The window was over before the command had ended. The mode is now: normal.",
    )
  })

  it("leaves a window alone that came after its own", async () => {
    const { maintenance } = installed.current
    const [program, ...args] = node(
      "process.stdin.once('data', () => process.exit(0)); console.log('running')",
    )
    const { child, ended, printed } = startCli(["run", ...asAlice, "--", program, ...args], environment())
    await until(() => printed().stdout.includes("running"))
    await maintenance.leave({ as: "break-glass" })
    await maintenance.enter("concurrent", { as: "alice", reason: "by hand" })
    child.stdin?.write("go on\n")
    const ran = await ended
    expect(ran.code).to.equal(5)
    expect(ran.stderr).to.include("The mode is now: concurrent by alice (by hand).")
    expect(await status()).to.include({ mode: "concurrent", reason: "by hand" })
  })

  it("leaves if the command cannot even be spawned", async () => {
    expect(await run(asAlice, "/etc/passwd/x")).to.include({ code: 126 })
    expect(await status()).to.include({ mode: "normal" })
  })

  it("demands a mode, and a command", async () => {
    expect(await run(["--as", "alice"], "true")).to.include({ code: 125 })
    expect((await runCli(["run", ...asAlice], environment())).code).to.equal(125)
  })
})
