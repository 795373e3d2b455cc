import { expect } from "chai"
import { maintenanceSchemaSql } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { until } from "../support/until"
import { endWindowAfterEach } from "../support/window"
import { type Environment, startInTerminal } from "./run-cli"

describe("The command line in a terminal", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)

  const start = (args: readonly string[], environment: Environment = {}) =>
    startInTerminal(args, { DATABASE_URL: database.current.url, ...environment })
  const status = () => installed.current.maintenance.status()
  const exclusive = ["enter", "exclusive", "--as", "alice"]
  const question = "Enter exclusive mode? [y/N]"

  it("asks before exclusive mode, shows who is connected and who would be waited for, and enters on yes", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("set application_name = 'nightly'; begin; select 1")
      const { child, ended, printed } = start(exclusive)
      await until(() => printed().stdout.includes(question))
      expect(printed().stdout).to.match(/\d+ other sessions? (are|is) connected\./)
      expect(printed().stdout).to.match(/enter would wait for this transaction:[^]*nightly/)
      expect(await status()).to.include({ mode: "normal" })
      child.stdin?.write("y\r")
      await until(() => printed().stdout.includes("Waiting for 1 transaction: "))
      await client.query("rollback")
      expect((await ended).code).to.equal(0)
      expect(await status()).to.include({ state: "exclusive" })
    })
  })

  it("asks although there is no connection left to count the others", async () => {
    const role = `lone_${process.pid}`
    await database.current.sql(`create role ${role} login connection limit 1`)
    try {
      await database.current.sql(maintenanceSchemaSql({ role }))
      const url = new URL(database.current.url)
      url.username = role
      const { child, ended, printed } = start(exclusive, { DATABASE_URL: url.toString() })
      await until(() => printed().stdout.includes(question))
      expect(printed().stdout).to.match(
        /The number of other sessions could not be read: too many connections for role [^]*Users other than you get no answer/,
      )
      child.stdin?.write("y\r")
      expect((await ended).code).to.equal(0)
    } finally {
      await database.current.sql(`drop owned by ${role}; drop role ${role}`)
    }
  })

  for (const [title, typed] of [
    ["no", "n\r"],
    ["nothing", "\r"],
    ["Ctrl-C", "\x03"],
    ["Ctrl-D", "\x04"],
  ] as const) {
    it(`changes nothing if ${title} is answered, and exits with 9`, async () => {
      const { child, ended, printed } = start(exclusive)
      await until(() => printed().stdout.includes(question))
      child.stdin?.write(typed)
      const { code, stdout } = await ended
      expect(code).to.equal(9)
      expect(stdout).to.include("Nothing was changed.")
      expect(await status()).to.include({ mode: "normal" })
    })
  }

  it("does not ask with --yes, nor before concurrent mode", async () => {
    const [yes] = await Promise.all([start([...exclusive, "--yes"]).ended])
    expect(yes.stdout).to.not.include("[y/N]")
    expect(yes.code).to.equal(0)
    const concurrent = await start(["enter", "concurrent", "--as", "alice"]).ended
    expect(concurrent.stdout).to.not.include("[y/N]")
    expect(await status()).to.include({ mode: "concurrent" })
  })

  it("rewrites one line while it waits, and Ctrl-C breaks it off", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("begin; select 1")
      const { child, ended, printed } = start([...exclusive, "--yes"])
      await until(() => printed().stdout.split("\r\x1b[J").length > 2)
      child.stdin?.write("\x03")
      const { code, stdout } = await ended
      expect(code).to.equal(130)
      expect(stdout).to.include("Broken off. The mode is now: normal.")
      await client.query("rollback")
    })
  })

  it("colours the mode, unless NO_COLOR is set", async () => {
    const [coloured, plain] = await Promise.all([
      start(["status"]).ended,
      start(["status"], { NO_COLOR: "1" }).ended,
    ])
    expect(coloured.stdout).to.include("\x1b[32mnormal")
    expect(plain.stdout).to.include("normal: nothing is restricted").and.not.to.include("\x1b[32m")
  })

  it("redraws watch in place until Ctrl-C", async () => {
    const { child, ended, printed } = start(["watch"])
    await until(() => (printed().stdout.match(/refused +0\.0 a second/g) ?? []).length >= 2)
    child.stdin?.write("\x03")
    const { code, stdout } = await ended
    expect(code).to.equal(0)
    expect(stdout).to.include("A\x1b[J")
  })
})
