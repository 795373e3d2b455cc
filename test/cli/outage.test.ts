import { expect } from "chai"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { Proxy } from "../support/proxy"
import { statusThat, until } from "../support/until"
import { endWindow } from "../support/window"
import { runCli, startCli, startInTerminal } from "./run-cli"

describe("The command line in an outage", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  let proxy: Proxy
  beforeEach(async () => (proxy = await Proxy.start(database.current.url)))
  afterEach(async () => {
    await proxy.stop()
    await endWindow(installed.current.maintenance)
    await installed.current.maintenance.leave({ as: "break-glass" }).catch(() => undefined)
  })

  const environment = () => ({ DATABASE_URL: proxy.url })
  const run = (...args: string[]) => runCli(args, environment())
  const status = () => installed.current.maintenance.status()

  describe("right after a change", () => {
    it("says that extend has changed the window, with 0", async () => {
      await installed.current.maintenance.enter("concurrent", { as: "alice" })
      proxy.cutAt(".extend(", ".instances(")
      const ran = await run("extend", "--as", "alice", "--expires", "30m")
      expect(ran).to.include({ code: 0, stdout: "The mode is now: concurrent by alice.\n" })
      expect(ran.stderr).to.include("Extended. The status could not be read: ")
      expect(await status()).to.have.property("expiresAt")
    })

    it("says that enter has entered the mode, with 0", async () => {
      proxy.cutAt(".end_entering(", ".instances(")
      const ran = await run("enter", "concurrent", "--as", "alice")
      expect(ran).to.include({ code: 0, stdout: "The mode is now: concurrent by alice.\n" })
      expect(ran.stderr).to.include("Entered. The status could not be read: ")
      expect(await status()).to.include({ state: "concurrent" })
    })

    it("says that announce has announced the window, with 0, and how to take it back", async () => {
      proxy.cutAt(".announce(", ".instances(")
      const ran = await run("announce", "exclusive", "--as", "alice", "--starts", "2h")
      expect(ran.code, ran.stderr).to.equal(0)
      expect(ran.stdout).to.match(/^Announced exclusive mode for [^]*\nTo take it back: .* cancel /)
      expect(ran.stderr).to.include(
        "The window was announced. The windows that it replaces could not be read: ",
      )
    })

    it("says that leave has cancelled what was announced, with 0", async () => {
      await installed.current.maintenance.announce("exclusive", { as: "alice", startsInMs: 7_200_000 })
      proxy.cutAt(".cancel_announced(", ".instances(")
      const ran = await run("leave", "--as", "alice")
      expect(ran).to.include({ code: 0, stdout: "The mode is now: normal.\n" })
      expect(ran.stderr).to.include("The announced windows could not be read: ")
      expect((await status()).announced).to.equal(undefined)
    })

    it("exits with 130 after Ctrl-C, although it cannot say what holds", async () => {
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select 1")
        proxy.cutAt(".abandon(", ".instances(")
        const { child, ended } = startCli(["enter", "exclusive", "--as", "alice"], environment())
        await statusThat(installed.current.maintenance, ({ state }) => state === "entering")
        child.kill("SIGINT")
        const ran = await ended
        expect(ran.code, ran.stderr).to.equal(130)
        expect(ran.stderr).to.include("Broken off. The mode could not be read: ")
        expect(await status()).to.include({ mode: "normal" })
        await client.query("rollback")
      })
    })
  })

  describe("wait", () => {
    it("waits for a database that does not answer at the start", async () => {
      proxy.refuse(true)
      const { ended } = startCli(["wait", "normal"], environment())
      await until(() => proxy.refused >= 2)
      proxy.refuse(false)
      expect(await ended).to.include({ code: 0, stdout: "normal\n" })
    })

    it("waits through an outage", async () => {
      const before = (await status()).instances.length
      const { ended } = startCli(["wait", "concurrent"], environment())
      await statusThat(installed.current.maintenance, ({ instances }) => instances.length > before)
      proxy.refuse(true)
      await proxy.cutAll()
      await until(() => proxy.refused >= 1)
      await installed.current.maintenance.enter("concurrent", { as: "alice" })
      proxy.refuse(false)
      expect(await ended).to.include({ code: 0, stdout: "concurrent by alice\n" })
    })

    it("exits with 1 after its timeout, and says that the mode is not known, as text and as JSON", async () => {
      proxy.refuse(true)
      const wait = ["wait", "normal", "--timeout", "100ms"]
      const [text, json] = await Promise.all([run(...wait), run(...wait, "--json")])
      expect(text).to.include({ code: 1, stdout: "" })
      expect(text.stderr).to.include("The database did not answer; the mode is not known.\n")
      expect(json).to.include({ code: 1, stderr: "" })
      expect(JSON.parse(json.stdout)).to.deep.equal({ is: false, mode: null, state: null })
    })

    it("is ended by Ctrl-C", async () => {
      proxy.refuse(true)
      const { child, ended } = startCli(["wait", "normal"], environment())
      await until(() => proxy.refused >= 1)
      child.kill("SIGINT")
      expect((await ended).code).to.equal(130)
    })
  })

  describe("watch", () => {
    const outages = (text: string) => text.split("The database does not answer. Trying again.").length - 1

    it("reports each outage in place on a terminal, and goes on", async () => {
      const { child, ended, printed } = startInTerminal(["watch"], environment())
      const sights = () => printed().stdout.split("refused   ").length - 1
      await until(() => sights() >= 1)
      for (const count of [1, 2]) {
        proxy.refuse(true)
        await proxy.cutAll()
        await until(() => outages(printed().stdout) >= count)
        const seen = sights()
        proxy.refuse(false)
        await until(() => sights() > seen)
      }
      // In place, and not on a line of its own below, so that the next text covers it.
      expect(printed().stdout).to.not.include("Trying again.\r\n")
      child.stdin?.write("\x03")
      expect((await ended).code).to.equal(0)
    })

    it("reports each outage once where it is no terminal", async () => {
      const { child, ended, printed } = startCli(["watch"], environment())
      const lines = () => printed().stdout.split(" normal;").length - 1
      await until(() => lines() >= 1)
      for (const count of [1, 2]) {
        proxy.refuse(true)
        await proxy.cutAll()
        await until(() => outages(printed().stderr) === count)
        const seen = lines()
        proxy.refuse(false)
        await until(() => lines() > seen)
      }
      child.kill("SIGINT")
      expect((await ended).code).to.equal(0)
      expect(outages(printed().stderr)).to.equal(2)
    })
  })

  describe("run", () => {
    const args = (script: string) =>
      ["run", "--mode", "concurrent", "--as", "alice", "--", process.execPath, "-e", script] as const

    it("leaves again although it is not known whether it has left", async () => {
      proxy.cutAt(".leave(")
      const { ended, printed } = startCli(args(""), environment())
      await until(() =>
        printed().stderr.includes("The database does not answer. Trying for 30 s to leave.\n"),
      )
      proxy.refuse(false)
      const ran = await ended
      expect(ran.code, ran.stderr).to.equal(0)
      expect(ran.stderr).to.include("Left. The mode is now: normal.\n")
      expect(await status()).to.include({ mode: "normal" })
    })

    it("says why it could not leave, and passes the exit code of the command on", async () => {
      const { ended, printed, child } = startCli(
        args("process.stdin.once('data', () => process.exit(42)); console.log('running')"),
        environment(),
      )
      await until(() => printed().stdout.includes("running"))
      await database.current.sql("alter schema maintenance rename to elsewhere")
      try {
        child.stdin?.write("go on\n")
        const ran = await ended
        expect(ran.code).to.equal(42)
        expect(ran.stderr).to.match(/but the window could not be left\. [^]*\nerror: .*maintenance/)
      } finally {
        await database.current.sql("alter schema elsewhere rename to maintenance")
      }
    })
  })
})
