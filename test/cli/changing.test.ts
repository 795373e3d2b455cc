import { expect } from "chai"
import { Client } from "pg"
import type { Announced, Entered, MaintenanceStatus } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { statusThat, until } from "../support/until"
import { endWindow } from "../support/window"
import { type Environment, runCli, startCli } from "./run-cli"

describe("The command line, changing the mode,", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  afterEach(async () => {
    await endWindow(installed.current.maintenance)
    await installed.current.maintenance.leave({ as: "break-glass" }).catch(() => undefined)
  })

  const run = (args: readonly string[], environment: Environment = {}) =>
    runCli(args, { DATABASE_URL: database.current.url, ...environment })
  const status = () => installed.current.maintenance.status()

  it("enters with all options, and says for whom before", async () => {
    const options = [
      "--reason",
      "rebuild",
      "--message",
      "Back soon.",
      "--expires",
      "1h30m",
      "--planned",
      "20m",
      "--readers",
      "2",
    ]
    const ran = await run(["enter", "concurrent", "--as", "alice", ...options])
    expect(ran.code).to.equal(0)
    expect(ran.stderr).to.include("Acting as alice (from --as).")
    expect(ran.stdout)
      .to.include("concurrent: other users can only read\n")
      .and.to.include("reason    rebuild")
    const report = await status()
    expect(report).to.include({
      mode: "concurrent",
      maintainer: "alice",
      reason: "rebuild",
      message: "Back soon.",
      readers: 2,
    })
    expect(Number(report.expiresAt) - Number(report.since)).to.be.closeTo(5_400_000, 1000)
    expect(Number(report.plannedUntil) - Number(report.since)).to.be.closeTo(1_200_000, 1000)
  })

  it("takes the user from MAINTENANCE_USER, or else from the operating system", async () => {
    const named = await run(["enter", "concurrent"], { MAINTENANCE_USER: "carol" })
    expect(named.stderr).to.include("Acting as carol (from MAINTENANCE_USER).")
    expect(await status()).to.include({ maintainer: "carol" })
    await endWindow(installed.current.maintenance)
    const unnamed = await run(["enter", "concurrent"])
    const [, user] = /Acting as (\S+) \(from the operating system\)\./.exec(unnamed.stderr) ?? []
    expect(await status()).to.include({ maintainer: user })
  })

  it("prints what enter() resolves with as JSON", async () => {
    const { code, stdout, stderr } = await run(["enter", "exclusive", "--as", "alice", "--json"])
    expect([code, stderr]).to.deep.equal([0, ""])
    expect(JSON.parse(stdout) as Entered)
      .to.include({ mode: "exclusive", maintainer: "alice" })
      .and.to.have.property("unacknowledged")
  })

  it("refuses another user's window with 3, as text and as JSON, and says what to do", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "bob", reason: "prices" })
    for (const args of [["enter", "exclusive"], ["leave"], ["extend", "--never"], ["transfer", "carol"]]) {
      const [text, json] = await Promise.all([
        run([...args, "--as", "alice"]),
        run([...args, "--as", "alice", "--json"]),
      ])
      expect([text.code, json.code], args.join(" ")).to.deep.equal([3, 3])
      expect(text.stderr).to.match(
        /error: Mode not changed: concurrent maintenance by bob \(prices\)[^]*next: {2}npx typeorm-maintenance-mode status\n/,
      )
      const printed = JSON.parse(json.stdout) as { error: object; next_steps: string[] }
      expect(printed.error).to.include({
        name: "NotMaintainerError",
        code: "MAINTENANCE_NOT_MAINTAINER",
        maintainer: "bob",
        exitCode: 3,
      })
      expect(printed.next_steps).to.include("npx typeorm-maintenance-mode status")
    }
    expect(await status()).to.include({ mode: "concurrent", maintainer: "bob" })
  })

  it("lets an emergency user end another user's window", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "bob" })
    const ran = await run(["leave", "--as", "night-shift", "--emergency"])
    expect(ran).to.include({ code: 0, stdout: "The mode is now: normal.\n" })
    const [last] = await installed.current.maintenance.journal({ limit: 1 })
    expect(last).to.include({ endedBecause: "left", endedBy: "night-shift" })
  })

  it("leaves, twice only with --if-held", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
    expect((await run(["leave", "--as", "alice", "--json"])).stdout).to.satisfy(
      (text: string) => (JSON.parse(text) as MaintenanceStatus).mode === "normal",
    )
    expect((await run(["leave", "--as", "alice"])).code).to.equal(2)
    expect((await run(["leave", "--as", "alice", "--if-held"])).code).to.equal(0)
  })

  it("extends, and takes the end away", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
    const ran = await run(["extend", "--as", "alice", "--expires", "30m"])
    expect(ran.stdout).to.match(/ends +by itself at /)
    expect((await status()).retryAfterMs).to.be.within(1_700_000, 1_800_000)
    await run(["extend", "--as", "alice", "--never"])
    expect((await status()).expiresAt).to.equal(undefined)
    expect((await run(["extend", "--as", "alice"])).code).to.equal(2)
  })

  it("transfers", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
    const ran = await run(["transfer", "carol", "--as", "alice"])
    expect(ran).to.include({ code: 0, stdout: "The mode is now: concurrent by carol.\n" })
    expect(await status()).to.include({ maintainer: "carol" })
  })

  it("announces, and cancels by the id that it printed", async () => {
    const ran = await run([
      "announce",
      "exclusive",
      "--starts",
      "2h",
      "--expires",
      "1h",
      "--as",
      "alice",
      "--json",
    ])
    const { id } = JSON.parse(ran.stdout) as Announced
    expect((await status()).announced).to.include({
      id,
      mode: "exclusive",
      maintainer: "alice",
      expiresInMs: 3_600_000,
    })
    expect((await run(["cancel", id, "--as", "bob"])).code).to.equal(3)
    expect(await run(["cancel", id, "--as", "alice"])).to.include({
      code: 0,
      stdout: "The announced window was cancelled.\n",
    })
    expect((await status()).announced).to.equal(undefined)
    expect((await run(["cancel", id, "--as", "alice"])).code).to.equal(2)
  })

  it("says which announced window a new one replaces, and which ones leave cancels", async () => {
    await run([
      "announce",
      "exclusive",
      "--starts",
      "2h",
      "--expires",
      "1h",
      "--as",
      "alice",
      "--reason",
      "first",
    ])
    const again = await run([
      "announce",
      "concurrent",
      "--starts",
      "150m",
      "--as",
      "alice",
      "--reason",
      "second",
    ])
    expect(again.stdout).to.match(
      /\nIt replaces: exclusive by alice at .*: first \[[\w-]+\]\.\nTo take it back: npx typeorm-maintenance-mode cancel [\w-]+ --as=alice\n$/,
    )
    const left = await run(["leave", "--as", "alice"])
    expect(left.stdout).to.match(
      /^Cancelled: concurrent by alice at .*: second \[[\w-]+\]\.\nThe mode is now: normal\.\n$/,
    )
    const nothing = await run(["leave", "--as", "alice", "--if-held"])
    expect(nothing.stdout).to.equal("You hold no window. Nothing was changed.\nThe mode is now: normal.\n")
  })

  it("says whose window an emergency user takes over", async () => {
    await installed.current.maintenance.enter("exclusive", { as: "bob", reason: "deep work" })
    const ran = await run(["enter", "concurrent", "--as", "night-shift", "--emergency"])
    expect(ran.code).to.equal(0)
    expect(ran.stderr).to.include("This takes over: exclusive by bob (deep work). That window ends.\n")
  })

  it("prints no character that a terminal obeys", async () => {
    const reason = "line1\nnormal: \u001b[2Jnothing\u202e"
    await installed.current.maintenance.enter("concurrent", { as: "bob", reason })
    const [shown, refused] = await Promise.all([run(["status"]), run(["leave", "--as", "alice"])])
    expect(shown.stdout).to.include("line1 normal:  [2Jnothing")
    expect(refused.stderr).to.include(String.raw`(line1\nnormal: \u001b[2Jnothing\u202e)`)
    for (const text of [shown.stdout, refused.stderr]) {
      expect(text).to.not.include("\u001b").and.not.to.include("\u202e")
    }
  })

  it("reports progress", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
    expect((await run(["progress", "40", "100", "--note", "prices", "--as", "alice"])).code).to.equal(0)
    expect((await status()).progress).to.include({ done: 40, total: 100, note: "prices" })
    expect((await run(["progress", "half", "--as", "alice"])).code).to.equal(2)
  })

  describe("while a transaction is open", () => {
    const withTransaction = (work: (end: () => Promise<unknown>, pid: number) => Promise<void>) =>
      withClient(database.current.url, async (client) => {
        const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid")
        await client.query("set application_name = 'nightly'; begin; select 1")
        await work(() => client.query("rollback"), rows[0]?.pid as number)
        await client.query("rollback").catch(() => undefined)
      })

    it("names it while it waits, line by line where it is no terminal", async () => {
      await withTransaction(async (end, pid) => {
        const { ended, printed } = startCli(["enter", "exclusive", "--as", "alice"], {
          DATABASE_URL: database.current.url,
        })
        await until(() => printed().stderr.includes("Waiting for"))
        await end()
        const { code, stderr } = await ended
        expect(code).to.equal(0)
        expect(stderr).to.match(
          new RegExp(
            `Waiting for 1 transaction: backend ${pid} \\(nightly, idle in transaction, \\d+ s\\) · \\d+ s left\n`,
          ),
        )
      })
    })

    it("gives up after --drain with 4, names it, and restores the mode", async () => {
      await withTransaction(async (_, pid) => {
        const ran = await run(["enter", "exclusive", "--as", "alice", "--drain", "200ms"])
        expect(ran.code).to.equal(4)
        expect(ran.stderr)
          .to.include(`backend ${pid}`)
          .and.to.include("next:  npx typeorm-maintenance-mode blockers\n")
        expect(await status()).to.include({ mode: "normal" })
      })
    })

    it("lists with --then proceed what this mode leaves open, without one's own", async () => {
      await withTransaction(async (_, pid) => {
        const options = ["--as", "alice", "--drain", "200ms", "--then", "proceed"]
        const reader = await run(["enter", "concurrent", ...options])
        expect(reader.code).to.equal(0)
        expect(reader.stderr).to.not.include("left open")
        const all = await run(["enter", "exclusive", ...options])
        expect(all.stderr).to.match(
          new RegExp(`These transactions were left open\\.[^]*\n *${pid} +nightly `),
        )
      })
    })

    it("ends it with --then terminate", async () => {
      const client = new Client({ connectionString: database.current.url })
      client.on("error", () => undefined)
      await client.connect()
      await client.query("begin; select 1")
      const gone = new Promise((resolve) => client.once("end", resolve))
      const ran = await run([
        ...["enter", "exclusive", "--as", "alice"],
        ...["--drain", "200ms", "--then", "terminate"],
      ])
      expect(ran.code).to.equal(0)
      await gone
      expect(await status()).to.include({ state: "exclusive" })
    })

    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      it(`breaks off by ${signal} with ${code}, leaves nothing half-done, and says what holds`, async () => {
        await withTransaction(async () => {
          const { child, ended } = startCli(["enter", "exclusive", "--as", "alice"], {
            DATABASE_URL: database.current.url,
          })
          await statusThat(installed.current.maintenance, ({ state }) => state === "entering")
          child.kill(signal)
          const ran = await ended
          expect(ran.code).to.equal(code)
          expect(ran.stderr).to.include("Broken off. The mode is now: normal.")
          expect(await status())
            .to.include({ mode: "normal" })
            .and.to.deep.include({ windows: [] })
        })
      })
    }

    it("returns to the former mode of the same maintainer when it is broken off", async () => {
      await installed.current.maintenance.enter("concurrent", { as: "alice" })
      await withTransaction(async () => {
        const { child, ended } = startCli(["enter", "exclusive", "--as", "alice"], {
          DATABASE_URL: database.current.url,
        })
        await statusThat(installed.current.maintenance, ({ state }) => state === "entering")
        child.kill("SIGINT")
        expect((await ended).stderr).to.include("Broken off. The mode is now: concurrent by alice.")
      })
    })
  })
})
