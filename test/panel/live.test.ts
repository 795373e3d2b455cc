import { expect } from "chai"
import { setImmediate as turn } from "node:timers/promises"
import { Client } from "pg"
import { type ConnectedControl, connectMaintenance, maintenanceSchemaSql } from "../../src"
import { type Authorize, createPanel, type Panel, type Viewer } from "../../src/panel"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { TestDatabase, useDatabase } from "../support/database"
import { withTimersOf } from "../support/long-timers"
import { Proxy as NetworkProxy } from "../support/proxy"
import { until } from "../support/until"
import { endWindowAfterEach } from "../support/window"
import { EventReader } from "./event-reader"
import { panelWarning } from "./panel-warning"
import { authorize, PlainBrowser } from "./plain-browser"

describe("The control panel, open in a browser,", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)

  const withPanel = async (
    work: (panel: Panel) => Promise<void>,
    control: ConnectedControl = installed.current.maintenance as never,
    authorized: Authorize = authorize,
  ) => {
    const panel = createPanel(control, { authorize: authorized })
    try {
      await work(panel)
    } finally {
      await panel.close()
    }
  }
  const connectedTo = (url: string) =>
    connectMaintenance((settings) => new Client({ connectionString: url, ...settings }))

  it("is told what changes in any process", () =>
    withPanel(async (panel) => {
      const page = await EventReader.open(panel, "alice")
      await withMaintenance(database.current.url, {}, ({ maintenance }) =>
        maintenance.enter("exclusive", { as: "alice", reason: "elsewhere" }),
      )
      const event = await page.until(({ name, data }) => name === "part" && data.includes("elsewhere"))
      expect(JSON.parse(event?.data ?? "")).to.include({ id: "now", mode: "exclusive" })
      const said = await page.until(({ name }) => name === "said")
      expect(said?.data).to.match(/^"(Entering exclusive|Exclusive), by alice\."$/)
      await page.close()
    }))

  it("is told when the panel is closed", async () => {
    const panel = createPanel(installed.current.maintenance, { authorize })
    const page = await EventReader.open(panel, "alice")
    const closed = page.until(({ name }) => name === "ending")
    await panel.close()
    expect(await closed).to.not.equal(undefined)
    expect((await EventReader.open(panel, "alice")).response.status).to.equal(503)
  })

  it("is told, and shown nothing more, when its user's access is withdrawn", async () => {
    let mayLook = true
    // `authorize` is called again after 15 seconds.
    await withTimersOf(15_000, (elapse) =>
      withPanel(
        async (panel) => {
          const page = await EventReader.open(panel, "alice")
          await page.until(({ name }) => name === "part")
          elapse()
          await page.until(({ name }) => name === "alive")
          mayLook = false
          elapse()
          expect(await page.until(({ name }) => name === "revoked")).to.not.equal(undefined)
          expect(await page.until(() => true)).to.equal(undefined)
        },
        undefined,
        (request) => (mayLook ? authorize(request) : undefined),
      ),
    )
  })

  it("asks for its user no longer if it was closed while it asked", async () => {
    let asked = 0
    let answer: (() => void) | undefined
    await withTimersOf(15_000, (elapse) =>
      withPanel(
        async (panel) => {
          const page = await EventReader.open(panel, "alice")
          await page.until(({ name }) => name === "part")
          elapse()
          await until(async () => answer !== undefined)
          await page.close()
          answer?.()
          await turn()
          elapse()
          await turn()
          expect(asked).to.equal(2)
        },
        undefined,
        async (request) => {
          asked++
          if (asked > 1) await new Promise<void>((resolve) => (answer = resolve))
          return authorize(request)
        },
      ),
    )
  })

  it("is shown what a user may do who is no longer a maintainer", async () => {
    let role: Viewer["role"] = "maintainer"
    await withTimersOf(15_000, (elapse) =>
      withPanel(
        async (panel) => {
          const page = await EventReader.open(panel, "alice")
          await page.until(({ name, data }) => name === "part" && data.includes('"id":"journal"'))
          role = "viewer"
          elapse()
          await page.until(({ name }) => name === "alive")
          await installed.current.maintenance.enter("concurrent", { as: "carol" })
          const event = await page.until(
            ({ name, data }) => name === "part" && data.includes('"id":"switch"'),
          )
          expect(event?.data).to.include("Your role is viewer: you can see everything and change nothing.")
          await page.close()
          await installed.current.maintenance.leave({ as: "carol" })
        },
        undefined,
        () => ({ user: "alice", role }),
      ),
    )
  })

  it("is one of 20 of its user, and one of 100, at most", () =>
    withPanel(async (panel) => {
      const open = (user: string) => EventReader.open(panel, user)
      const users = ["a", "b", "c", "d", "e"]
      const pages = await Promise.all(users.flatMap((user) => Array.from({ length: 20 }, () => open(user))))
      expect(pages.every(({ response }) => response.status === 200)).to.equal(true)
      for (const user of ["a", "f"]) expect((await open(user)).response.status).to.equal(429)
      await pages[0]?.close()
      for (const [user, status] of [
        ["b", 429],
        ["a", 200],
      ] as const)
        expect((await open(user)).response.status).to.equal(status)
    }))

  it("is no stream for HEAD, by which the script asks whether it may connect again", () =>
    withPanel(async (panel) => {
      const headers = { "x-user": "alice" }
      for (let time = 0; time < 120; time++) {
        const answer = await panel.fetch(new Request("http://panel.test/events", { method: "HEAD", headers }))
        expect(answer.status).to.equal(200)
      }
      const page = await EventReader.open(panel, "alice")
      expect(page.response.status).to.equal(200)
      expect(page.response.headers.get("cache-control")).to.equal("no-store, no-transform")
      await page.close()
    }))

  it("is given up if it takes no events, so that it holds no place and asks the database for nothing", async () => {
    await withTimersOf(15_000, (elapse) =>
      withPanel(async (panel) => {
        const headers = { "x-user": "alice" }
        const open = () => panel.fetch(new Request("http://panel.test/events", { headers }))
        // Nobody reads their bodies.
        const stalled = await Promise.all(Array.from({ length: 20 }, open))
        expect(stalled.every(({ status }) => status === 200)).to.equal(true)
        expect((await open()).status).to.equal(429)
        await until(async () => {
          elapse()
          return (await open()).status === 200
        })
      }),
    )
  })

  it("is told that its connection ends, not that access is withdrawn, if authorize throws later", async () => {
    let isDown = false
    const warned = panelWarning()
    await withTimersOf(15_000, (elapse) =>
      withPanel(
        async (panel) => {
          const page = await EventReader.open(panel, "alice")
          await page.until(({ name }) => name === "part")
          isDown = true
          elapse()
          expect(await page.until(({ name }) => name === "ending")).to.not.equal(undefined)
        },
        undefined,
        (request) => {
          if (isDown) throw new Error("the session store is down")
          return authorize(request)
        },
      ),
    )
    expect((await warned).message).to.include("the session store is down")
  })

  it("is what costs: the database is asked for nothing while no page is open", async () => {
    const { maintenance } = installed.current
    let asked = 0
    const counting = new Proxy(maintenance, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== "function") return value
        if (name !== "on") asked++
        return (value as (...args: unknown[]) => unknown).bind(target)
      },
    })
    // The state is read again after 5 seconds while a page is open.
    await withTimersOf(5000, (elapse) =>
      withPanel(async (panel) => {
        const page = await EventReader.open(panel, "alice")
        await page.until(({ name, data }) => name === "part" && data.includes('"id":"journal"'))
        const first = asked
        await until(() => {
          elapse()
          return asked > first
        })
        await page.close()
        await maintenance.status()
        const before = asked
        elapse()
        await maintenance.enter("concurrent", { as: "alice" })
        await maintenance.leave({ as: "alice" })
        await maintenance.status()
        expect(asked).to.equal(before)
      }, counting as never),
    )
  })

  describe("while the database does not answer,", () => {
    let proxy: NetworkProxy
    let control: ConnectedControl
    before(async () => {
      proxy = await NetworkProxy.start(database.current.url)
      control = await connectedTo(proxy.url)
    })
    after(async () => {
      await control.close()
      await proxy.stop()
    })
    const cut = async () => {
      proxy.refuse(true)
      await proxy.cutAll()
    }

    it("is a page with 503 that says so and tries again, for each request", () =>
      withPanel(async (panel) => {
        const browser = new PlainBrowser(panel, "alice")
        await browser.open()
        const looking = new PlainBrowser(panel, "viewer:carol")
        await looking.open()
        await cut()
        const send = () => browser.send("/actions/switch", { mode: "concurrent", reason: "in the outage" })
        for (const ask of [send, () => browser.open()]) {
          expect((await ask()).status).to.equal(503)
          expect(browser.page)
            .to.include("The database does not answer")
            .and.to.include('href="/">Reload now')
            .and.to.include("operating.md#the-database-does-not-answer")
            .and.to.include('content="5;url=/"')
            .and.to.include("Nothing was changed.")
        }
        const viewer = new PlainBrowser(panel, "viewer:bob")
        await viewer.open()
        expect(viewer.page).to.include("The database does not answer").and.to.not.include("ECONN")
        await looking.send("/preflight", { mode: "exclusive" })
        expect(looking.page)
          .to.include("The state cannot be read now.")
          .and.to.not.match(/ECONN|could not be reached/)
        proxy.refuse(false)
        await until(async () => (await browser.open()).status === 200)
        // What was not done is told, and filled in, when the database is there again.
        expect(browser.page).to.include("Nothing was changed.").and.to.include('value="in the outage"')
      }, control))

    it("is told that it is not current, and when it is again", () =>
      withPanel(async (panel) => {
        await until(async () => (await new PlainBrowser(panel, "alice").open()).status === 200)
        const page = await EventReader.open(panel, "alice")
        await page.until(({ name }) => name === "part")
        await cut()
        expect(await page.until(({ name }) => name === "outage")).to.not.equal(undefined)
        proxy.refuse(false)
        expect(await page.until(({ name }) => name === "live")).to.not.equal(undefined)
        await page.close()
      }, control))
  })

  it("says that the state cannot be read, and what to do, if the schema is gone", async () => {
    const own = await TestDatabase.create()
    try {
      await withMaintenance(own.url, {}, ({ maintenance }) =>
        withPanel(async (panel) => {
          const open = await EventReader.open(panel, "alice")
          await open.until(({ name }) => name === "part")
          const warned = panelWarning()
          await own.sql("drop schema maintenance cascade")
          const told = await open.until(({ name }) => name === "outage")
          expect(told?.data).to.include("The state cannot be read. Reload the page for the reason.")
          await warned
          await open.close()
          const browser = new PlainBrowser(panel, "alice")
          expect((await browser.open()).status).to.equal(500)
          expect(browser.page).to.include("The state cannot be read")
          expect(browser.page).to.include("operating.md#the-installation-is-wrong")
        }, maintenance as never),
      )
    } finally {
      await own.drop()
    }
  })

  it("shows and changes the mode although no connection is left to read the history", async () => {
    await database.current.sql(`create role last_one login connection limit 1`)
    await database.current.sql(maintenanceSchemaSql({ role: "last_one" }))
    const url = new URL(database.current.url)
    url.username = "last_one"
    const control = await connectedTo(url.toString())
    try {
      await withPanel(async (panel) => {
        const browser = new PlainBrowser(panel, "alice")
        expect((await browser.open()).status).to.equal(200)
        expect(browser.page).to.include("no database connection was free")
        expect((await browser.confirm("/actions/switch", { mode: "exclusive" })).status).to.equal(303)
        await browser.open()
        expect(browser.page).to.include("Exclusive").and.to.include("no database connection was free")
        expect((await browser.send("/actions/leave")).status).to.equal(303)
      }, control)
    } finally {
      await control.close()
      await database.current.sql("drop owned by last_one cascade; drop role last_one")
    }
  })
})
