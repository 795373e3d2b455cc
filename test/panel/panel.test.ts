import { expect } from "chai"
import type { Client } from "pg"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { MaintenanceControl } from "../../src"
import { createPanel, type Panel } from "../../src/panel"
import { SightReader } from "../../src/panel/sight"
import { preflightSection } from "../../src/panel/view/blockers"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { statusThat, until } from "../support/until"
import { endWindow } from "../support/window"
import { panelWarning } from "./panel-warning"
import { authorize, PlainBrowser } from "./plain-browser"

describe("The control panel", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  let panel: Panel
  beforeEach(() => (panel = createPanel(installed.current.maintenance, { authorize, title: "Shop" })))
  afterEach(async () => {
    await panel.close()
    await endWindow(installed.current.maintenance)
    await installed.current.maintenance.leave({ as: "break-glass" }).catch(() => undefined)
  })

  const browserOf = (user: string | undefined, on = panel) => new PlainBrowser(on, user)
  const status = () => installed.current.maintenance.status()
  /** Loads the page until it shows a text. */
  const showing = (browser: PlainBrowser, text: RegExp) =>
    until(async () => {
      await browser.open()
      return text.test(browser.page)
    })

  it("shows the mode, its window, the instances and the journal", async () => {
    const { maintenance } = installed.current
    await maintenance.during("exclusive", { as: "carol", reason: "yesterday's work" }, () => undefined)
    await maintenance.enter("concurrent", {
      as: "alice",
      reason: "rebuild",
      message: "Back at 14:30.",
      expiresInMs: 3_600_000,
    })
    await maintenance.progress({ done: 40, total: 100, note: "prices" }, { as: "alice" })
    const browser = browserOf("alice")
    const response = await browser.open()
    expect(response.status).to.equal(200)
    for (const text of [
      "Shop",
      "Concurrent (read\u2011only)",
      "alice",
      "rebuild",
      "Back at 14:30.",
      "until it ends by itself",
      "40 of 100 (40 %), prices",
      "yesterday&#39;s work",
      `:${process.pid}`,
    ])
      expect(browser.page).to.include(text)
  })

  it("enters, extends, transfers and leaves by its forms, without JavaScript", async () => {
    const browser = browserOf("alice")
    await browser.open()
    const entered = await browser.send("/actions/switch", {
      mode: "concurrent",
      reason: "prices",
      expires: "1800000",
      planned: "900000",
    })
    expect(entered.status).to.equal(303)
    expect(entered.headers.get("location")).to.equal("/")
    expect(await status()).to.include({ mode: "concurrent", maintainer: "alice", reason: "prices" })
    await browser.open()
    expect((await browser.send("/actions/extend", { expires: "7200000" })).status).to.equal(303)
    expect((await status()).retryAfterMs).to.be.within(7_100_000, 7_200_000)
    await browser.open()
    expect((await browser.confirm("/actions/transfer", { to: "carol" })).status).to.equal(303)
    expect(await status()).to.include({ maintainer: "carol" })
    const carol = browserOf("carol")
    await carol.open()
    expect((await carol.send("/actions/leave")).status).to.equal(303)
    expect(await status()).to.include({ mode: "normal" })
  })

  it("announces a window, and takes it back", async () => {
    const browser = browserOf("alice")
    await browser.open()
    const starts = new Date(Date.now() + 3_600_000)
    const local = starts.toISOString().slice(0, 16)
    await browser.send("/actions/announce", {
      mode: "exclusive",
      starts: local,
      zone: "0",
      expires: "3600000",
      reason: "upgrade",
    })
    const { announced } = await status()
    expect(announced).to.include({ mode: "exclusive", maintainer: "alice", reason: "upgrade" })
    expect(announced?.startsAt.toISOString().slice(0, 16)).to.equal(local)
    await browser.open()
    await browser.send("/actions/cancel")
    expect((await status()).announced).to.equal(undefined)
  })

  it("changes nothing if normal mode is applied in normal mode: announced windows stay", async () => {
    const { maintenance } = installed.current
    await maintenance.announce("exclusive", { as: "carol", startsInMs: 3_600_000, expiresInMs: 60_000 })
    for (const user of ["carol", "break-glass"]) {
      const browser = browserOf(user)
      await browser.open()
      const applied = await browser.send("/actions/switch", { mode: "normal" })
      expect(applied.status).to.equal(303)
      await browser.open(applied.headers.get("location") ?? "")
      expect(browser.page).to.include("The mode is normal already.")
      expect((await browser.send("/actions/leave")).status).to.equal(422)
    }
    expect((await status()).announced).to.include({ maintainer: "carol" })
    await maintenance.leave({ as: "carol" })
  })

  describe("for a window of one's own", () => {
    const enter = () =>
      installed.current.maintenance.enter("concurrent", {
        as: "alice",
        reason: "prices",
        expiresInMs: 3_600_000,
        plannedForMs: 1_800_000,
      })
    const send = async (fields: Readonly<Record<string, string>>) => {
      const browser = browserOf("alice")
      await browser.open()
      const sent = {
        mode: "exclusive",
        reason: "prices",
        message: "",
        expires: "keep",
        planned: "keep",
        ...fields,
      }
      const response =
        sent.mode === "exclusive"
          ? await browser.confirm("/actions/switch", sent)
          : await browser.send("/actions/switch", sent)
      return { response, page: browser.page }
    }

    it("keeps the ends that are to stay as they are", async () => {
      await enter()
      const before = await status()
      expect((await send({})).response.status).to.equal(303)
      const after = await status()
      expect(after).to.include({ mode: "exclusive", reason: "prices" })
      expect(after.expiresAt).to.deep.equal(before.expiresAt)
      expect(after.plannedUntil).to.deep.equal(before.plannedUntil)
    })

    it("takes the end away for never, and sets another", async () => {
      await enter()
      expect((await send({ expires: "never" })).response.status).to.equal(303)
      expect(await status())
        .to.include({ mode: "exclusive" })
        .and.to.not.have.property("expiresAt")
      await send({ mode: "concurrent", expires: "7200000" })
      expect((await status()).retryAfterMs).to.be.within(7_100_000, 7_200_000)
    })

    it("says that a reason cannot be removed", async () => {
      await enter()
      const { response, page } = await send({ reason: "" })
      expect(response.status).to.equal(422)
      expect(page).to.include("The reason of a window can be replaced, but not removed.")
      expect(await status()).to.include({ mode: "concurrent", reason: "prices" })
    })

    it("keeps the end if a switch that would take it away is refused", async () => {
      await enter()
      const refused = await send({ expires: "never", reason: "x".repeat(1001) })
      expect(refused.response.status).to.equal(422)
      expect((await status()).expiresAt).to.not.equal(undefined)
    })

    it("extends by a choice only", async () => {
      await enter()
      const browser = browserOf("alice")
      await browser.open()
      expect((await browser.send("/actions/extend")).status).to.equal(422)
      expect((await status()).expiresAt).to.not.equal(undefined)
      expect((await browser.send("/actions/extend", { expires: "never" })).status).to.equal(303)
      expect((await status()).expiresAt).to.equal(undefined)
    })

    it("restores it when a switch is broken off, and offers to leave where another process enters", async () => {
      await enter()
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select 1")
        expect((await send({})).response.status).to.equal(303)
        await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
          const other = createPanel(maintenance, { authorize })
          const elsewhere = new PlainBrowser(other, "alice")
          await elsewhere.open()
          expect(elsewhere.page).to.include("Another process is entering this window.")
          const { windowId = "" } = await status()
          expect((await elsewhere.send("/actions/break-off", { windowId })).status).to.equal(422)
          await other.close()
        })
        const browser = browserOf("alice")
        await browser.open()
        expect((await browser.send("/actions/break-off")).status).to.equal(303)
        expect(await status()).to.include({ mode: "concurrent", reason: "prices" })
        await client.query("rollback")
      })
    })
  })

  it("abandons what it is entering when it is closed, and answers 503 from then on", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("begin; select 1")
      const closing = createPanel(installed.current.maintenance, { authorize })
      const browser = browserOf("alice", closing)
      await browser.open()
      expect((await browser.confirm("/actions/switch", { mode: "exclusive" })).status).to.equal(303)
      expect((await status()).state).to.equal("entering")
      await closing.close()
      expect(await status()).to.include({ mode: "normal" })
      expect((await browser.open()).status).to.equal(503)
      await client.query("rollback")
    })
  })

  it("shows who would be waited for, and keeps what was filled in", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("set application_name = 'nightly'; begin; select 'secret'")
      const browser = browserOf("alice")
      await browser.open()
      await browser.send("/preflight", { mode: "exclusive", reason: "still here" })
      expect(browser.page)
        .to.match(/Entering exclusive mode would wait for\s+1 transaction/)
        .and.to.include("nightly")
      expect(browser.page).to.include('value="still here"').and.not.to.include("secret")
      expect(await status()).to.include({ mode: "normal" })
      await client.query("rollback")
    })
  })

  it("does not find its own reading of the history among those who would be waited for", async () => {
    const report = await installed.current.maintenance.status()
    const done: string[] = []
    let epoch = 0
    let finish: (() => void) | undefined
    const control = {
      status: async () => ({ ...report, epoch }),
      journal: async () => [],
      async refusals() {
        if (epoch === 1) await new Promise<void>((resolve) => (finish = resolve))
        done.push(`history ${epoch}`)
        return []
      },
      async blockers() {
        done.push("blockers")
        return []
      },
    } as unknown as MaintenanceControl
    const reader = new SightReader(control, () => undefined)
    await reader.read()
    epoch = 1
    // Shows the history before, because the newer one takes long.
    await reader.read()
    const found = reader.blockersOf({})
    await until(async () => finish !== undefined)
    finish?.()
    await found
    expect(done).to.deep.equal(["history 0", "history 1", "blockers"])
  })

  it("shows who is waited for while a window is being entered, and breaks it off", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("set application_name = 'nightly'; begin; select 1")
      const browser = browserOf("alice")
      await browser.open()
      expect((await browser.confirm("/actions/switch", { mode: "exclusive" })).status).to.equal(303)
      expect((await status()).state).to.equal("entering")
      await browser.open()
      expect(browser.page)
        .to.include("Entering exclusive")
        .and.to.include("Blockers")
        .and.to.include("nightly")
        .and.to.include("Break off")
      const brokenOff = await browser.send("/actions/break-off")
      expect(brokenOff.headers.get("location")).to.equal("/")
      expect(await status()).to.include({ mode: "normal" })
      await browser.open()
      expect(browser.page).to.include("The window was abandoned. The mode is what it was before.")
      await client.query("rollback")
    })
  })

  it("tells a user what became of a window that could not be entered", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("begin; select 1")
      const browser = browserOf("alice")
      await browser.open()
      const sent = browser.confirm("/actions/switch", {
        mode: "exclusive",
        drain: "1000",
        reason: "typed once",
      })
      expect((await sent).status).to.equal(303)
      await statusThat(installed.current.maintenance, ({ mode }) => mode === "normal")
      for (const _ of ["now", "on the next page, too"]) {
        await browser.open()
        expect(browser.page).to.include("Mode not changed: alice was entering exclusive mode")
        expect(browser.page).to.include('value="typed once"')
      }
      const other = browserOf("carol")
      await other.open()
      expect(other.page).to.not.include("Mode not changed")
      await browser.send("/actions/switch", { mode: "concurrent" })
      await browser.open()
      expect(browser.page).to.not.include("Mode not changed")
      await client.query("rollback")
    })
  })

  describe("before what is hard to undo", () => {
    it("asks, with who is waited for, and changes nothing until the answer", async () => {
      await withClient(database.current.url, async (client) => {
        await client.query("set application_name = 'nightly'; begin; select 1")
        const browser = browserOf("alice")
        await browser.open()
        const asked = await browser.send("/actions/switch", { mode: "exclusive", reason: "upgrade" })
        expect(asked.status).to.equal(200)
        expect(browser.page)
          .to.include("Enter exclusive mode?")
          .and.to.include("1 transaction would be waited for:")
          .and.to.include("nightly")
          .and.to.match(/Instances of the application: \d/)
        expect(await status()).to.include({ mode: "normal" })
        await client.query("rollback")
        expect((await browser.send("/actions/switch")).status).to.equal(303)
        expect(await status()).to.include({ mode: "exclusive", reason: "upgrade" })
        // It is in force: nothing is to be asked.
        await browser.open()
        expect((await browser.send("/actions/switch", { mode: "exclusive" })).status).to.equal(303)
        expect((await browser.send("/actions/switch", { mode: "concurrent" })).status).to.equal(422)
        await browser.open()
        expect((await browser.send("/actions/switch", { mode: "concurrent" })).status).to.equal(303)
      })
    })

    it("refuses an answer about a window that is over", async () => {
      const { maintenance } = installed.current
      const browser = browserOf("alice")
      await browser.open()
      await browser.send("/actions/switch", { mode: "exclusive" })
      await maintenance.enter("concurrent", { as: "alice", reason: "meanwhile" })
      expect((await browser.send("/actions/switch")).status).to.equal(422)
      expect(await status()).to.include({ mode: "concurrent", reason: "meanwhile" })
    })

    it("names the user to whom a window is handed over", async () => {
      await installed.current.maintenance.enter("concurrent", { as: "alice" })
      const browser = browserOf("alice")
      await browser.open()
      expect((await browser.send("/actions/transfer", { to: " bbo<i> " })).status).to.equal(200)
      expect(browser.page).to.include("Hand the window over to “bbo&lt;i&gt;”?")
      expect(await status()).to.include({ maintainer: "alice" })
      const answered = await browser.send("/actions/transfer")
      expect(answered.status).to.equal(303)
      await browser.open(answered.headers.get("location") ?? "")
      expect(browser.page).to.include("The window was handed over to bbo&lt;i&gt;.")
      // The outcome is shown once.
      await browser.open(answered.headers.get("location") ?? "")
      expect(browser.page).to.not.include("The window was handed over to bbo&lt;i&gt;.")
    })

    it("takes over with the reason, the message and the ends of the window, as the form shows them", async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", {
        as: "alice",
        reason: "prices",
        message: "Back soon.",
        expiresInMs: 3_600_000,
        plannedForMs: 1_800_000,
      })
      const before = await status()
      const emergency = browserOf("break-glass")
      await emergency.open()
      expect(emergency.page).to.include('value="prices"').and.to.include('value="Back soon."')
      const form = { reason: "prices", message: "Back soon.", expires: "keep", planned: "keep" }
      // The clock of the database counts, not that of this process.
      const now = Date.now
      Date.now = () => now() + 7_200_000
      try {
        const taken = await emergency.confirm("/actions/switch", { mode: "concurrent", ...form })
        expect(taken.status).to.equal(303)
      } finally {
        Date.now = now
      }
      const after = await status()
      expect(after).to.include({ maintainer: "break-glass", reason: "prices", message: "Back soon." })
      for (const end of ["expiresAt", "plannedUntil"] as const)
        expect(Math.abs(Number(after[end]) - Number(before[end]))).to.be.below(5000)
    })

    it("takes over without what was removed from the form", async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice", reason: "prices", expiresInMs: 3_600_000 })
      const emergency = browserOf("break-glass")
      await emergency.open()
      await emergency.send("/actions/switch", { mode: "concurrent", reason: "", expires: "never" })
      expect(emergency.page)
        .to.include("Take over from alice?")
        .and.to.include("(“prices”)")
        .and.to.match(/Reason: none\. Message:\s+none\. Ends by itself:\s+never\./)
      expect((await emergency.send("/actions/switch")).status).to.equal(303)
      await emergency.open()
      expect(emergency.page).to.include("You have taken over from alice.")
      const after = await status()
      expect(after).to.include({ maintainer: "break-glass" })
      expect(after).to.not.have.any.keys("reason", "expiresAt")
    })
  })

  it("says what becomes of the transactions that remain at the deadline", async () => {
    for (const [fields, says] of [
      [{ drain: "60000" }, "If some remain at the deadline, the previous mode is restored."],
      [
        { drain: "60000", outcome: "terminate" },
        "If some remain at the deadline, their sessions are terminated. If some remain 5 seconds later, the previous mode is restored.",
      ],
    ] as const) {
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select 1")
        const browser = browserOf("alice")
        await browser.open()
        await browser.confirm("/actions/switch", { mode: "exclusive", ...fields })
        await browser.open()
        expect(browser.page).to.include(says)
        await browser.send("/actions/break-off")
        await client.query("rollback")
      })
    }
  })

  it("shows how long announced windows last, and which one an announcement replaces", async () => {
    const { maintenance } = installed.current
    const browser = browserOf("alice")
    await browser.open()
    const announce = async (fields: Readonly<Record<string, string>>) => {
      const starts = new Date(Date.now() + 3_600_000).toISOString().slice(0, 16)
      const sent = await browser.send("/actions/announce", {
        mode: "exclusive",
        starts,
        zone: "0",
        ...fields,
      })
      await browser.open(sent.headers.get("location") ?? "")
    }
    await announce({ expires: "1800000", reason: "first", message: "Closed at ten." })
    expect(browser.page)
      .to.include("The window was announced.")
      .and.to.include("exclusive for 30 m, by alice")
      .and.to.include("“<bdi>Closed at ten.</bdi>”")
      .and.to.include("It replaces those of your announced windows that it overlaps with.")
    await announce({ expires: "", planned: "900000", reason: "second" })
    expect(browser.page)
      .to.include("It replaces: exclusive mode by alice, “first”.")
      .and.to.include("exclusive, planned for 15 m, without an end, by alice")
    // A page does not wait for a newer reading of the journal.
    await showing(browser, /title="superseded">\s*superseded/)
    await maintenance.leave({ as: "alice" })
  })

  it("lists 50 of the transactions that would be waited for, and says how many more there are", async () => {
    const blockers = Array.from({ length: 120 }, (_, index) => ({
      pid: index,
      transaction: `1/${index}`,
      ageMs: 1000,
      state: "idle in transaction",
      hasWritten: true,
      isHidden: false,
    }))
    const html = String(await preflightSection(blockers as never, "exclusive", true))
    expect(html.match(/<td>\d+<\/td>/g)).to.have.length(50)
    expect(html).to.include("120 transactions").and.to.include("and 70 more")
  })

  it("says who would be waited for to a viewer, and for a mode only", async () => {
    const viewer = browserOf("viewer:bob")
    await viewer.open()
    expect((await viewer.send("/preflight", { mode: "exclusive" })).status).to.equal(200)
    expect(viewer.page).to.match(/Entering exclusive mode would wait for\s+no transaction/)
    expect((await viewer.send("/preflight", { mode: "normal" })).status).to.equal(422)
    expect(viewer.page).to.include("Choose concurrent or exclusive mode")
  })

  describe("if the state is locked", () => {
    const withLock = (work: (client: Client) => Promise<void>) =>
      withClient(database.current.url, async (client) => {
        await client.query("begin; select from maintenance.state for update")
        await work(client)
        await client.query("rollback")
      })

    it("says that a window could not be broken off, and that it is interrupted", async () => {
      await withClient(database.current.url, async (blocker) => {
        await blocker.query("begin; select 1")
        const browser = browserOf("alice")
        await browser.open()
        await browser.confirm("/actions/switch", { mode: "exclusive" })
        await browser.open()
        await withLock(async () => {
          expect((await browser.send("/actions/break-off")).status).to.equal(409)
          expect(browser.page).to.include("The mode is in force, but enter() did not finish waiting")
          expect(browser.page).to.not.include("The window was abandoned.")
        })
        await statusThat(installed.current.maintenance, ({ isInterrupted }) => isInterrupted)
        await browser.open()
        expect(browser.page).to.match(/Transactions\s+that\s+were\s+open\s+may\s+still\s+commit\./)
        await blocker.query("rollback")
      })
    })

    it("tells that a window could not be handed over, and goes on working for its user", async () => {
      await installed.current.maintenance.enter("concurrent", { as: "alice" })
      const browser = browserOf("alice")
      await browser.open()
      await withLock(async () => {
        await browser.confirm("/actions/transfer", { to: "bob" })
        await browser.open()
        expect(browser.page).to.include("The window is being handed over to bob.")
        await showing(browser, /Mode not changed/)
      })
      expect(await status()).to.include({ maintainer: "alice" })
      expect((await browser.open()).status).to.equal(200)
      expect((await browser.send("/actions/leave")).status).to.equal(303)
    })

    it("claims no change before it is made, and tells its failure", async () => {
      const browser = browserOf("alice")
      await browser.open()
      await withLock(async () => {
        await browser.send("/actions/switch", { mode: "concurrent" })
        await browser.open()
        expect(browser.page)
          .to.include("The mode is being changed.")
          .and.to.not.include("The mode was changed.")
        await showing(browser, /Mode not changed/)
      })
    })
  })

  describe("fills in again what was sent in vain", () => {
    /** Sends a form as alice whose window is abandoned. */
    const failing = async (browser: PlainBrowser) => {
      await browser.open()
      await withClient(database.current.url, async (client) => {
        await client.query("begin; select 1")
        await browser.confirm("/actions/switch", { mode: "exclusive", drain: "1000", reason: "typed once" })
        await statusThat(installed.current.maintenance, ({ mode }) => mode === "normal")
        await showing(browser, /Mode not changed/)
        await client.query("rollback")
      })
    }

    it("in the browser that has sent it only", async () => {
      const browser = browserOf("alice")
      await failing(browser)
      expect(browser.page).to.include('value="typed once"')
      const other = browserOf("alice")
      await other.open()
      expect(other.page).to.include("Mode not changed").and.to.not.include('value="typed once"')
    })

    it("unless another window is in force now", async () => {
      const browser = browserOf("break-glass")
      await failing(browser)
      await installed.current.maintenance.enter("concurrent", { as: "bob", reason: "of bob" })
      await browser.open()
      expect(browser.page).to.include('value="of bob"').and.to.not.include('value="typed once"')
    })

    it("until the user sends another form, which a no to its question keeps", async () => {
      const browser = browserOf("alice")
      await failing(browser)
      await browser.send("/actions/switch", { mode: "exclusive", reason: "typed anew" })
      expect(browser.page).to.include("Enter exclusive mode?").and.to.include("Reason: <bdi>typed anew</bdi>")
      await browser.send("/form")
      expect(browser.page).to.include('value="typed anew"').and.to.not.include("Enter exclusive mode?")
      await browser.open()
      expect(browser.page).to.not.include('value="typed once"')
      expect(await status()).to.include({ mode: "normal" })
    })
  })

  it("says that to leave ends the window that is covered, too", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    await maintenance
      .during("exclusive", { as: "alice" }, async () => {
        const browser = browserOf("break-glass")
        await browser.open()
        expect(browser.page)
          .to.include("Leave (end this window and the one that it covers)")
          .and.to.match(/To leave\s+ends both\./)
        expect((await browser.send("/actions/leave")).status).to.equal(303)
        expect(await status()).to.include({ mode: "normal" })
      })
      .catch(() => undefined)
  })

  describe("to somebody who may not", () => {
    it("shows nothing without a user, neither page, files, events nor forms", async () => {
      const browser = browserOf(undefined)
      for (const path of ["/", "/events", "/assets/panel.css"]) {
        const response = await browser.open(path)
        expect(response.status).to.equal(403)
        expect(await response.text()).to.equal("You are not allowed to see this page.")
      }
      expect((await browser.send("/actions/leave")).status).to.equal(403)
    })

    it("shows a viewer everything, disabled with the reason, and refuses forms", async () => {
      const viewer = browserOf("viewer:bob")
      await viewer.open()
      expect(viewer.page).to.include("Your role is viewer: you can see everything and change nothing.")
      expect(viewer.page).to.match(/<button\s+class="main"\s+disabled\s+title="Your role is viewer/)
      for (const action of ["/actions/switch", "/actions/announce", "/actions/leave"])
        expect((await viewer.send(action, { mode: "exclusive" })).status, action).to.equal(403)
      expect(await status()).to.include({ mode: "normal" })
    })

    it("shows another user's window disabled with the reason, and refuses forms with 409", async () => {
      await installed.current.maintenance.enter("concurrent", { as: "bob" })
      const alice = browserOf("alice")
      await alice.open()
      expect(alice.page).to.include("Only bob and emergency users can change this.")
      const refused = await alice.send("/actions/leave")
      expect(refused.status).to.equal(409)
      expect(alice.page).to.include("maintenance by bob")
      const emergency = browserOf("break-glass")
      await emergency.open()
      expect(emergency.page).to.include(
        "bob holds this window. As an emergency user, you take it over by applying a mode, and end it by leaving.",
      )
      expect(emergency.page).to.not.include("disabled")
      expect((await emergency.send("/actions/leave")).status).to.equal(303)
    })

    it("says nothing more than that it failed if authorize throws", async () => {
      const broken = createPanel(installed.current.maintenance, {
        authorize: () => {
          throw new Error("the session store is down: redis://:password@cache")
        },
      })
      const warned = panelWarning()
      const response = await new PlainBrowser(broken, "alice").open()
      expect(response.status).to.equal(500)
      expect(await response.text()).to.equal("The control panel failed. The server's log says why.")
      expect((await warned).message).to.include("the session store is down")
      await broken.close()
    })
  })

  describe("with a hostile request", () => {
    it("refuses a form of another site", async () => {
      const browser = browserOf("alice")
      await browser.open()
      const foreign = await browser.send(
        "/actions/switch",
        { mode: "exclusive" },
        { origin: "https://evil.test", "sec-fetch-site": "cross-site" },
      )
      expect(foreign.status).to.equal(403)
      expect(await status()).to.include({ mode: "normal" })
    })

    it("refuses a form without the token of its page", async () => {
      const browser = browserOf("alice")
      await browser.open()
      const forged = await browser.send("/actions/switch", {
        mode: "exclusive",
        maintenance_token: "0".repeat(64),
      })
      expect(forged.status).to.equal(403)
      expect(await status()).to.include({ mode: "normal" })
    })

    for (const [name, headers] of [
      ["that names no origin", { origin: "null" }],
      ["of a sibling site", { origin: "http://other.panel.test", "sec-fetch-site": "same-site" }],
      ["of an invalid origin", { origin: "not an origin" }],
    ] as const) {
      it(`refuses a form ${name}`, async () => {
        const browser = browserOf("alice")
        await browser.open()
        const foreign = await browser.send("/actions/switch", { mode: "exclusive" }, headers)
        expect(foreign.status).to.equal(403)
        expect(await foreign.text()).to.include("Nothing was changed. The form came from another site")
        expect(await status()).to.include({ mode: "normal" })
      })
    }

    it("takes a form behind a proxy that has ended TLS or changed the host", async () => {
      for (const headers of [
        { origin: "https://panel.test" },
        { origin: "https://shop.example", "x-forwarded-host": "shop.example, inner" },
        { origin: "https://shop.example", "sec-fetch-site": "same-origin" },
      ]) {
        const browser = browserOf("alice")
        await browser.open()
        expect((await browser.send("/actions/leave", {}, headers)).status).to.equal(422)
      }
    })

    it("keeps what was filled in if the page is too old", async () => {
      const browser = browserOf("alice")
      await browser.open()
      const old = await browser.send("/actions/switch", {
        mode: "exclusive",
        reason: "half an hour of typing",
        maintenance_token: "ä",
      })
      expect(old.status).to.equal(403)
      expect(browser.page).to.include("The page was out of date").and.to.include("half an hour of typing")
    })

    it("answers a body that cannot be read, and an unknown action or page, with 4xx", async () => {
      const browser = browserOf("alice")
      await browser.open()
      const broken = await browser.send(
        "/actions/leave",
        {},
        { "content-type": "multipart/form-data; boundary=x" },
      )
      expect(broken.status).to.equal(400)
      for (const action of ["/actions/toString", "/actions/__proto__", "/actions/constructor"])
        expect((await browser.send(action)).status, action).to.equal(404)
      for (const path of ["/elsewhere", "/assets/..%2fpanel.ts", "/assets/toString", "//"])
        expect((await browser.open(path)).status, path).to.equal(404)
    })

    it("leads from the address of a form to the page, as after a refusal or an outage", async () => {
      const browser = browserOf("alice")
      for (const path of ["/actions/leave", "/actions/elsewhere", "/preflight"]) {
        const response = await browser.open(path)
        expect(response.status, path).to.equal(303)
        expect(response.headers.get("location")).to.equal("/")
      }
    })

    it("refuses a token that no page has given, although form and cookie agree", async () => {
      for (const token of ["", "abc", "A".repeat(64)]) {
        const sent = await panel.fetch(
          new Request("http://panel.test/actions/leave", {
            method: "POST",
            body: new URLSearchParams({ maintenance_token: token, windowId: "" }),
            headers: { "x-user": "alice", origin: "http://panel.test", cookie: `maintenance_token=${token}` },
          }),
        )
        expect(sent.status, token).to.equal(403)
      }
    })

    it("answers other methods with 405 and those that are allowed", async () => {
      for (const [path, method, allowed] of [
        ["/", "POST", "GET, HEAD"],
        ["/events", "DELETE", "GET, HEAD"],
        ["/actions/leave", "PUT", "GET, HEAD, POST"],
      ] as const) {
        const request = new Request(`http://panel.test${path}`, { method, headers: { "x-user": "alice" } })
        const response = await panel.fetch(request)
        expect(response.status, path).to.equal(405)
        expect(response.headers.get("allow")).to.equal(allowed)
      }
    })

    it("believes a browser that says that a form comes from elsewhere, whatever its origin", async () => {
      const browser = browserOf("alice")
      await browser.open()
      const sent = await browser.send("/actions/leave", {}, { "sec-fetch-site": "cross-site" })
      expect(sent.status).to.equal(403)
    })

    it("shows the first page of the journal for an id that cannot be one", async () => {
      const browser = browserOf("alice")
      for (const path of ["/?before=", "/?before=%00", `/?before=${"x".repeat(201)}`]) {
        expect((await browser.open(path)).status, path).to.equal(200)
        expect(browser.page).to.not.include(">Latest<")
      }
    })

    it("is named by its type where authorize throws something that is no error", async () => {
      const broken = createPanel(installed.current.maintenance, {
        authorize: () => Promise.reject("down"),
      })
      const warned = panelWarning()
      expect((await new PlainBrowser(broken, "alice").open()).status).to.equal(500)
      expect((await warned).message).to.include("authorize failed: down")
      await broken.close()
    })

    it("refuses a form about a window that is over", async () => {
      const { maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice", reason: "first" })
      const browser = browserOf("alice")
      await browser.open()
      await maintenance.leave({ as: "alice" })
      await maintenance.enter("exclusive", { as: "alice", reason: "second" })
      const stale = await browser.send("/actions/leave")
      expect(stale.status).to.equal(422)
      expect(browser.page).to.include("The mode has changed since this page was loaded")
      expect(await status()).to.include({ mode: "exclusive", reason: "second" })
    })

    it("escapes every value, and refuses one that is too long", async () => {
      const browser = browserOf("alice")
      await browser.open()
      const html = `<script>alert("x")</script>'`
      expect(
        (await browser.send("/actions/switch", { mode: "concurrent", reason: html, message: html })).status,
      ).to.equal(303)
      await browser.open()
      expect(browser.page).to.include("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&#39;")
      expect(browser.page).to.not.include("<script>alert")
      const long = await browser.send("/actions/switch", { mode: "concurrent", reason: "x".repeat(2000) })
      expect(long.status).to.equal(422)
      expect(
        (await browser.send("/actions/switch", { mode: "concurrent", reason: "x".repeat(100_000) })).status,
      ).to.equal(413)
    })

    it("counts no look at the blockers as a change, and limits it, too", async () => {
      const browser = browserOf("curious")
      await browser.open()
      const codes: number[] = []
      for (let time = 0; time < 62; time++)
        codes.push((await browser.send("/preflight", { mode: "exclusive" })).status)
      expect([codes[0], codes[59], codes[60]]).to.deep.equal([200, 200, 429])
      expect((await browser.send("/actions/extend")).status).to.equal(422)
    })

    it("limits the changes of a user, but not those that end a window", async () => {
      const browser = browserOf("flooder")
      await browser.open()
      const codes: number[] = []
      for (let time = 0; time < 31; time++) codes.push((await browser.send("/actions/extend")).status)
      expect([codes[0], codes[29], codes[30]]).to.deep.equal([422, 422, 429])
      expect((await browser.send("/actions/leave")).status).to.equal(422)
      expect((await browser.send("/actions/switch", { mode: "normal" })).status).to.equal(303)
    })
  })

  it("sends headers that allow no foreign content and no frame", async () => {
    const { headers } = await browserOf("alice").open()
    expect(headers.get("content-security-policy")).to.equal(
      "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    )
    expect(headers.get("cache-control")).to.equal("no-store")
    expect(headers.get("x-content-type-options")).to.equal("nosniff")
    expect(headers.get("set-cookie"))
      .to.match(/HttpOnly.*SameSite=Strict/)
      .and.to.not.include("Secure")
    for (const request of [
      new Request("https://panel.test/", { headers: { "x-user": "alice" } }),
      new Request("http://panel.test/", { headers: { "x-user": "alice", "x-forwarded-proto": "https" } }),
    ])
      expect((await panel.fetch(request)).headers.get("set-cookie")).to.include("Secure")
  })

  it("works under a path, whether a proxy strips it or not", async () => {
    const mounted = createPanel(installed.current.maintenance, { authorize, basePath: "/admin/maintenance/" })
    for (const base of ["", "/admin/maintenance"]) {
      const browser = new PlainBrowser(mounted, "alice", { base })
      expect((await browser.open()).status).to.equal(200)
      const [, css = ""] = /href="\/admin\/maintenance(\/assets\/[^"]*)"/.exec(browser.page) ?? []
      expect((await browser.open(css)).headers.get("content-type")).to.equal("text/css; charset=utf-8")
      expect((await browser.send("/actions/leave")).status).to.equal(422)
    }
    await mounted.close()
  })

  it("is under 60 kB with its files, with a long journal and an hour of refusals, and has pages of the journal", async () => {
    await database.current.sql(`
      insert into maintenance.window (id, position, mode, maintainer, reason, since, begun_at, terms, ended_at, ended_because)
      select 'old-' || n, 'over', 'concurrent', 'carol', repeat('reason ', 20), now(), now() - interval '1 day', 'old', now() - n * interval '1 minute', 'left'
      from generate_series(1, 10000) n;
      insert into maintenance.refusal (window_id, instance, minute, entity, operation, count)
      select 'old-1', 'elsewhere', date_trunc('minute', now()) - n * interval '1 minute', 'Entity' || n % 7, 'update', n from generate_series(1, 60) n`)
    const opened = createPanel(installed.current.maintenance, { authorize })
    const browser = browserOf("alice", opened)
    const bytesOf = async (path: string) => Buffer.byteLength(await (await browser.open(path)).text())
    const html = await bytesOf("/")
    const files = [...browser.page.matchAll(/(?:href|src)="(\/assets\/[^"]*)"/g)].map(([, path = ""]) => path)
    expect(files).to.have.length(2)
    let bytes = html
    for (const file of files) bytes += await bytesOf(file)
    expect(bytes).to.be.below(60_000)
    const pages = [browser.page]
    for (let page = 1; page < 3; page++) {
      const [, older = ""] = /href="([^"]*)#journal">Older/.exec(browser.page) ?? []
      await browser.open(older)
      pages.push(browser.page)
      expect(browser.page).to.include("Latest").and.to.include("Older")
    }
    expect(new Set(pages).size).to.equal(3)
    await opened.close()
    await database.current.sql(
      "delete from maintenance.window where id like 'old-%'; delete from maintenance.refusal where window_id = 'old-1'",
    )
  })

  it("has a guide that lists every option", () => {
    const guide = readFileSync(join(process.cwd(), "docs/guides/panel.md"), "utf8")
    const section = guide.slice(guide.indexOf("## Options"), guide.indexOf("## Use it"))
    const documented = [...section.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name)
    let message = ""
    try {
      createPanel(installed.current.maintenance, { authorize, unknown: true } as never)
    } catch (error) {
      message = (error as Error).message
    }
    const [, names = ""] = /Its options are (.*?)\. See/.exec(message) ?? []
    expect(documented).to.deep.equal(names.split(/, | and /))
  })

  for (const [name, options, says] of [
    ["no authorize", {}, "needs the option authorize"],
    ["no options", undefined, "needs the option authorize"],
    ["a path that browsers take for a host", { authorize, basePath: "//evil" }, "basePath must be a path"],
    ["a path that browsers shorten", { authorize, basePath: "/a/../b" }, "basePath must be a path"],
    ["a path that cannot be decoded", { authorize, basePath: "/%" }, "basePath must be a path"],
    ["a path without a slash", { authorize, basePath: "admin" }, "basePath must be a path such as"],
    ["an unknown option", { authorize, path: "/admin" }, "has no option path"],
    ["a title that is no string", { authorize, title: 7 }, "title must be a string"],
    ["a string for a flag", { authorize, showsQueries: "no" }, "showsQueries must be a boolean"],
  ] as const) {
    it(`throws a TypeError for ${name}`, () => {
      expect(() => createPanel(installed.current.maintenance, options as never)).to.throw(TypeError, says)
    })
  }
})
