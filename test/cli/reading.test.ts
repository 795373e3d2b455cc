import { expect } from "chai"
import {
  type Blocker,
  type Instance,
  type MaintenanceReport,
  type PastWindow,
  WriteVetoedError,
} from "../../src"
import { meaningOf } from "../../src/panel/view/words"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { Item, Tag } from "../support/entities"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { statusThat, until } from "../support/until"
import { endWindowAfterEach } from "../support/window"
import { type Ran, runCli, startCli } from "./run-cli"

describe("The command line, reading,", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)

  const run = (...args: string[]) => runCli(args, { DATABASE_URL: database.current.url })
  const json = async <T>(...args: string[]): Promise<T> => jsonIn(await run(...args, "--json")) as T

  describe("status", () => {
    it("shows the mode, and that the own connection is no instance", async () => {
      const { code, stdout, stderr } = await run("status")
      expect(code).to.equal(0)
      expect(stdout).to.equal("normal: nothing is restricted\n  instances 1 of 1 know this state\n")
      expect(stderr).to.match(
        /^Using maintenance_test_\w+ on [\w.]+:\d+ as postgres \(from DATABASE_URL\)\.\n$/,
      )
    })

    it("shows the whole window to people", async () => {
      const { maintenance } = installed.current
      await maintenance.announce("exclusive", { as: "alice", startsInMs: 3 * 3_600_000, reason: "upgrade" })
      await maintenance.enter("concurrent", {
        as: "alice",
        reason: "rebuild the catalog",
        message: "Back at 14:30.",
        expiresInMs: 3_600_000,
        plannedForMs: 1_800_000,
      })
      await maintenance.progress({ done: 40, total: 100, note: "prices" }, { as: "alice" })
      const { stdout } = await run("status")
      expect(
        stdout.replaceAll(/(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d/g, "TIME").replaceAll(/\d+ s ago/g, "N s ago"),
      ).to.match(
        new RegExp(
          [
            "concurrent: other users can only read",
            "  by        alice, since TIME \\(N s ago\\)",
            "  reason    rebuild the catalog",
            "  message   Back at 14:30\\.",
            "  planned   done at TIME \\(in (30|29) m( \\d+ s)?\\)",
            "  ends      by itself at TIME \\(in (1 h|59 m( \\d+ s)?)\\)",
            "  progress  40 of 100 \\(40 %\\), prices \\(N s ago\\)",
            "  instances 1 of 1 know this state",
            "  announced exclusive by alice at TIME \\(in (3 h|2 h 59 m)\\): upgrade \\[[\\w-]+\\]",
            "",
          ].join("\n"),
        ),
      )
      await maintenance.leave({ as: "alice" })
      await maintenance.leave({ as: "alice" })
    })

    for (const mode of ["normal", "concurrent", "exclusive"] as const) {
      it(`describes ${mode} mode in the words of the panel`, async () => {
        if (mode !== "normal") await installed.current.maintenance.enter(mode, { as: "alice" })
        const [title] = (await run("status")).stdout.split("\n")
        expect(title).to.equal(`${mode}: ${meaningOf[mode].toLowerCase()}`)
      })
    }

    it("prints the status itself as JSON, with times as ISO strings", async () => {
      const { maintenance } = installed.current
      await maintenance.enter("exclusive", { as: "alice", expiresInMs: 60_000 })
      const printed = await json<Record<string, unknown>>("status")
      const { retryAfterMs: _, instances, windows, ...status } = await maintenance.status()
      expect(printed).to.deep.include(JSON.parse(JSON.stringify(status)))
      expect(printed["windows"]).to.have.length(windows.length)
      expect(printed["instances"]).to.deep.equal(JSON.parse(JSON.stringify(instances)))
    })
  })

  describe("is", () => {
    it("exits with 0 for the mode, with 1 for another, with 2 for a word that is no mode", async () => {
      await installed.current.maintenance.enter("concurrent", { as: "alice", reason: "prices" })
      const [right, wrong, unknown] = await Promise.all([
        run("is", "concurrent"),
        run("is", "normal"),
        run("is", "closed"),
      ])
      expect(right).to.include({ code: 0, stdout: "concurrent by alice (prices)\n" })
      expect(wrong).to.include({ code: 1, stdout: "concurrent by alice (prices)\n" })
      expect(unknown.code).to.equal(2)
      expect(unknown.stderr).to.include('"closed" is not a mode. Write normal, concurrent or exclusive.')
    })

    it("says no while the mode is being entered", async () => {
      const { maintenance } = installed.current
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select 1")
        const entering = maintenance.enter("exclusive", { as: "alice" })
        entering.catch(() => undefined)
        await statusThat(maintenance, ({ state }) => state === "entering")
        const ran = await run("is", "exclusive", "--json")
        expect(ran.code).to.equal(1)
        expect(jsonIn(ran)).to.deep.equal({ is: false, mode: "exclusive", state: "entering" })
        const { stdout } = await run("status")
        expect(stdout).to.match(/waits for in-flight transactions until \S+ \(in \S+( \S+)?\), then: abandon/)
        await client.query("rollback")
        await entering
      })
    })
  })

  describe("wait", () => {
    it("ends when the mode comes", async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      const before = (await maintenance.status()).instances.length
      const { ended } = startCli(["wait", "normal", "--json"], { DATABASE_URL: database.current.url })
      await statusThat(maintenance, ({ instances }) => instances.length > before)
      await maintenance.leave({ as: "alice" })
      const ran = await ended
      expect(ran.code).to.equal(0)
      expect(jsonIn(ran)).to.deep.equal({ is: true, mode: "normal", state: "normal" })
    })

    it("exits with 1 after its timeout", async () => {
      const ran = await run("wait", "exclusive", "--timeout", "100ms")
      expect(ran).to.include({ code: 1, stdout: "normal\n" })
      expect(ran.stderr).to.include("The mode was not seen to be exclusive within 100 ms.")
    })

    it("is ended by Ctrl-C with 130", async () => {
      const { maintenance } = installed.current
      const before = (await maintenance.status()).instances.length
      const { child, ended } = startCli(["wait", "exclusive"], { DATABASE_URL: database.current.url })
      await statusThat(maintenance, ({ instances }) => instances.length > before)
      child.kill("SIGINT")
      expect((await ended).code).to.equal(130)
    })
  })

  describe("blockers", () => {
    it("lists who would be waited for, and changes nothing", async () => {
      const { epoch } = await installed.current.maintenance.status()
      await withClient(database.current.url, async (client) => {
        await client.query("set application_name = 'nightly'; begin; select 'open'")
        const [text, listed] = await Promise.all([run("blockers"), json<Blocker[]>("blockers", "exclusive")])
        expect(text.stdout).to.match(
          /PID +APPLICATION +USER +AGE +STATE +WROTE +STATEMENT\n *\d+ +nightly +postgres +\d+ s +idle in transaction +no /,
        )
        expect(listed).to.have.length(1)
        expect(listed[0]).to.include({ application: "nightly", hasWritten: false })
        await client.query("rollback")
      })
      expect(await run("blockers")).to.include({ code: 0, stdout: "No transaction would be waited for.\n" })
      expect((await installed.current.maintenance.status()).epoch).to.equal(epoch)
    })
  })

  describe("journal", () => {
    it("lists what is over, the last first, and what was refused", async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.during("concurrent", { as: "alice", reason: "first" }, () =>
        maintenance.runAs("bob", () => dataSource.query("create table refused ()").catch(() => undefined)),
      )
      // Its refusals are recorded by then.
      await maintenance.journal()
      await maintenance.enter("exclusive", { as: "bob", reason: "second" })
      await maintenance.leave({ as: "break-glass" })
      const listed = await json<PastWindow[]>("journal", "--limit", "2")
      expect(listed.map(({ reason }) => reason)).to.deep.equal(["second", "first"])
      expect(listed[1]?.refusals).to.deep.equal([{ count: 1 }])
      const { stdout } = await run("journal", "--since", "1h", "--limit", "2")
      const [title, second, first] = stdout.split("\n")
      expect(title).to.match(/^BEGUN +MODE +BY +FOR +ENDED +HOW +REFUSED CHANGES +REASON$/)
      expect(second).to.match(
        /^\d\d:\d\d:\d\d +exclusive +bob +\d+ s +\d\d:\d\d:\d\d +left by break-glass +0 +second$/,
      )
      expect(first).to.match(/^\d\d:\d\d:\d\d +concurrent +alice +\d+ s +\d\d:\d\d:\d\d +left +1 +first$/)
    })
  })

  it("takes a time of day that is still to come for yesterday's in journal --since", async () => {
    const { maintenance } = installed.current
    await maintenance.during("concurrent", { as: "alice", reason: "at night" }, () => undefined)
    // A zone in which it is about noon.
    const hours = new Date().getUTCHours() - 12
    const environment = {
      DATABASE_URL: database.current.url,
      TZ: `Etc/GMT${hours < 0 ? "" : "+"}${hours}`,
    }
    const { stdout } = await runCli(["journal", "--since", "22:00"], environment)
    expect(stdout).to.include("at night")
    const future = await runCli(["journal", "--since", "2999-01-01"], environment)
    expect(future.code).to.equal(2)
    expect(future.stderr).to.match(
      /--since "2999-01-01" is still to come: it is \S+ now\. Name an earlier time\./,
    )
  })

  it("counts a refused transaction in the journal once for each entity and operation", async () => {
    await openShop(database.current)
    const { dataSource, maintenance } = installed.current
    await maintenance.during("concurrent", { as: "alice" }, () =>
      maintenance.runAs("bob", async () => {
        const attempt = dataSource.transaction(async (manager) => {
          const [one] = await manager.save([
            manager.create(Item, { name: "crate", stock: 1 }),
            manager.create(Item, { name: "crane", stock: 1 }),
          ])
          await manager.update(Item, { id: one?.id }, { stock: 2 })
          await manager.save(manager.create(Tag, { label: "new" }))
        })
        expect(await errorOf(attempt)).to.be.instanceOf(WriteVetoedError)
      }),
    )
    // Its refusals are recorded by then.
    await maintenance.journal()
    const [line] = (await run("journal", "--limit", "1")).stdout.split("\n").slice(1)
    expect(line).to.match(/ left +3$/)
  })

  describe("instances", () => {
    it("lists the processes, without itself", async () => {
      const [listed, text] = await Promise.all([json<Instance[]>("instances"), run("instances")])
      const own = listed.find(({ pid }) => pid === process.pid)
      expect(own).to.include({ version: "0.1.0" })
      expect(text.stdout).to.match(
        new RegExp(` ${process.pid} +0\\.1\\.0 +\\d\\d:\\d\\d:\\d\\d +yes +\\d+\n`),
      )
    })
  })

  describe("watch", () => {
    it("prints its failure on one line with --json, like each change", async () => {
      const ran = await runCli(["watch", "--json"], { DATABASE_URL: "postgres://postgres@127.0.0.1:1/shop" })
      expect(ran.code).to.equal(6)
      expect(ran.stdout).to.match(/^\{"error":.*\}\n$/)
    })

    it("prints a line for each change until Ctrl-C, as text and as JSON", async () => {
      const { maintenance } = installed.current
      const environment = { DATABASE_URL: database.current.url }
      const [text, lines] = [startCli(["watch"], environment), startCli(["watch", "--json"], environment)]
      const seen = () =>
        lines
          .printed()
          .stdout.trimEnd()
          .split("\n")
          .map((line) => (line ? (JSON.parse(line) as { report: MaintenanceReport }).report.mode : ""))
      await until(() => seen().includes("normal") && text.printed().stdout.includes("normal;"))
      await maintenance.enter("concurrent", { as: "alice", reason: "prices" })
      await until(
        () =>
          seen().includes("concurrent") && text.printed().stdout.includes("concurrent by alice (prices);"),
      )
      text.child.kill("SIGINT")
      lines.child.kill("SIGINT")
      expect(
        await Promise.all([text.ended, lines.ended]).then((ran) => ran.map(({ code }) => code)),
      ).to.deep.equal([0, 0])
    })
  })
})

/** The one JSON document that a command printed. */
function jsonIn({ stdout }: Ran): unknown {
  return JSON.parse(stdout)
}
