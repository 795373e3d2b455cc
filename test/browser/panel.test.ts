import { once } from "node:events"
import { mkdirSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { expect } from "chai"
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core"
import { createPanel, nodeHandler, type Panel, type Viewer } from "../../src/panel"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { Item } from "../support/entities"
import { openShop } from "../support/shop"
import { withTimersOf } from "../support/long-timers"
import { statusThat, until } from "../support/until"
import { endWindow } from "../support/window"
import { startChromium } from "./chromium"

/** The script of axe-core. It is evaluated, because the policy of the page allows no script from elsewhere. */
const axe = readFileSync(require.resolve("axe-core"), "utf8")
/** Where screenshots are kept, if they are to be. */
const images = process.env["PANEL_IMAGES"]

/** Users by a header, which each browser sends. */
const authorize = (request: Request): Viewer | undefined => {
  const user = request.headers.get("x-user")
  if (user === null || revoked.has(user)) return undefined
  return { user, role: user === "visitor" ? "viewer" : "maintainer" }
}
const revoked = new Set<string>()

describe("The control panel in a browser", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  let browser: Browser
  let served: Served
  const contexts: BrowserContext[] = []

  before(async () => {
    await openShop(database.current)
    served = await serveShop()
    browser = await startChromium()
  })
  afterEach(async () => {
    revoked.clear()
    for (const context of contexts.splice(0)) await context.close()
    await endWindow(installed.current.maintenance)
    await installed.current.maintenance.leave({ as: "break-glass" }).catch(() => undefined)
  })
  after(async () => {
    await browser.close()
    await served.close()
  })

  const serveShop = () =>
    serve(createPanel(installed.current.maintenance, { authorize, title: "Shop", showsQueries: true }))

  /** The panel as a user sees it. */
  const openAs = async (
    user: string,
    options: BrowserContextOptions = {},
    at = served.url,
  ): Promise<Page> => {
    const context = await browser.newContext({
      extraHTTPHeaders: { "x-user": user },
      viewport: { width: 1180, height: 900 },
      ...options,
    })
    contexts.push(context)
    const page = await context.newPage()
    page.on("pageerror", (error) => expect.fail(String(error)))
    await page.goto(at)
    return page
  }
  const status = () => installed.current.maintenance.status()
  const heading = (page: Page, text: string) => page.locator("#now h2", { hasText: text }).waitFor()

  it("switches by a click, and the other user's page follows without a reload", async () => {
    const [alice, bob] = await Promise.all([openAs("alice"), openAs("bob")])
    await bob.locator("#link", { hasText: "live" }).waitFor()
    await alice.getByRole("radio", { name: "Concurrent" }).check()
    await alice.getByLabel("Reason, for operators").first().fill("Rebuild the catalog")
    await alice.getByRole("button", { name: "Apply" }).click()
    await heading(alice, "Concurrent")
    await alice.locator("#notice", { hasText: "The mode was changed." }).waitFor()
    await heading(bob, "Concurrent")
    expect(await bob.locator("#now").textContent()).to.include("Rebuild the catalog")
    expect(await bob.locator("#switch").textContent()).to.include(
      "Only alice and emergency users can change this.",
    )
    expect(await bob.getByRole("button", { name: "Apply" }).isDisabled()).to.equal(true)
    expect(await bob.locator("#said").textContent()).to.equal("Concurrent (read\u2011only), by alice.")
    await alice.getByRole("button", { name: "Leave" }).click()
    await heading(alice, "Normal")
    await heading(bob, "Normal")
  })

  it("shows who is waited for, live, and breaks off", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("set application_name = 'nightly'; begin; select 'report'")
      const alice = await openAs("alice")
      await alice.getByRole("radio", { name: "Exclusive" }).check()
      await alice.getByRole("button", { name: "Show blockers" }).click()
      await alice.locator("#preflight", { hasText: "nightly" }).waitFor()
      expect(await alice.getByRole("radio", { name: "Exclusive" }).isChecked()).to.equal(true)
      await alice.getByRole("button", { name: "Apply" }).click()
      await alice.getByRole("button", { name: "Enter exclusive mode" }).click()
      await heading(alice, "Entering exclusive")
      await alice.locator("#blockers", { hasText: "nightly" }).waitFor()
      await alice.getByRole("button", { name: "Break off" }).click()
      await heading(alice, "Normal")
      await client.query("rollback")
    })
    expect(await status()).to.include({ mode: "normal" })
  })

  it("keeps what somebody is filling in while the state changes", async () => {
    const alice = await openAs("alice")
    await alice.locator("#link", { hasText: "live" }).waitFor()
    const reason = alice.getByLabel("Reason, for operators").first()
    await reason.fill("half a sentence")
    await installed.current.maintenance.enter("concurrent", { as: "bob" })
    await heading(alice, "Concurrent")
    expect(await reason.inputValue()).to.equal("half a sentence")
    await alice.getByText("The mode has changed since you began this form.").waitFor()
    // What was decided on was another state: the server says so.
    await alice.getByRole("button", { name: "Apply" }).click()
    await alice.locator(".notice").waitFor()
    expect(await status()).to.include({ maintainer: "bob" })
  })

  it("announces a window in the browser's own zone", async () => {
    const alice = await openAs("alice", { timezoneId: "Asia/Tokyo" })
    await alice.getByText("Announce a window").click()
    const starts = new Date(Date.now() + 24 * 3_600_000)
    const local = new Date(starts.getTime() + 9 * 3_600_000).toISOString().slice(0, 16)
    await alice.getByLabel("Begins at").fill(local)
    await alice.getByRole("button", { name: "Announce" }).click()
    await alice.locator("#announced", { hasText: "alice" }).waitFor()
    expect((await status()).announced?.startsAt.toISOString().slice(0, 16)).to.equal(
      starts.toISOString().slice(0, 16),
    )
    await alice.getByRole("button", { name: "Cancel" }).click()
    await alice.locator("#announced", { hasText: "Nothing is announced." }).waitFor()
  })

  it("shows nothing more to a user whose access is withdrawn while the page is open", async () => {
    const alice = await withTimersOf(15_000, async (elapse) => {
      const opened = await openAs("alice")
      await opened.locator("#link", { hasText: "live" }).waitFor()
      revoked.add("alice")
      elapse()
      return opened
    })
    await alice.getByText("You are not allowed to see this page.").waitFor()
    expect(await alice.textContent("body")).to.equal("You are not allowed to see this page.")
  })

  it("connects again when the server is there again, and says meanwhile that it is not live", async () => {
    const { maintenance } = installed.current
    const first = await serve(createPanel(maintenance, { authorize }))
    const alice = await openAs("alice", {}, first.url)
    await alice.locator("#link", { hasText: "live" }).waitFor()
    await first.close()
    await alice.locator("#link", { hasText: "Not live. Reconnecting" }).waitFor()
    await maintenance.enter("concurrent", { as: "bob" })
    const second = await serve(createPanel(maintenance, { authorize }), Number(new URL(first.url).port))
    try {
      await heading(alice, "Concurrent")
      await alice.locator("#link", { hasText: "live" }).waitFor()
    } finally {
      await second.close()
    }
  })

  it("does not send a refused form again by itself when access is withdrawn and given back", async () => {
    const { maintenance } = installed.current
    await maintenance.announce("exclusive", { as: "bob", startsInMs: 3_600_000, expiresInMs: 3_600_000 })
    const sent: string[] = []
    const alice = await withTimersOf(15_000, async (elapse) => {
      const page = await openAs("alice")
      page.on("request", (request) => {
        if (request.isNavigationRequest()) sent.push(request.method())
      })
      await page.getByText("Announce a window").click()
      const starts = new Date(Date.now() + 5_400_000 - new Date().getTimezoneOffset() * 60_000)
      await page.getByLabel("Begins at").fill(starts.toISOString().slice(0, 16))
      await page.getByRole("button", { name: "Announce" }).click()
      await page.locator("#notice", { hasText: "bob" }).waitFor()
      await page.locator("#link", { hasText: "live" }).waitFor()
      await maintenance.leave({ as: "bob" })
      revoked.add("alice")
      elapse()
      await page.getByText("You are not allowed to see this page.").waitFor()
      return page
    })
    revoked.clear()
    await alice.reload()
    await alice.locator("#now").waitFor()
    expect(sent).to.deep.equal(["POST", "GET", "GET"])
    expect((await status()).announced).to.equal(undefined)
  })

  it("leaves connections for other pages and forms while it is hidden", async () => {
    const { maintenance } = installed.current
    const first = await openAs("alice")
    const pages = [first]
    // A browser has 6 connections to a host.
    for (let page = 1; page < 8; page++) {
      const last = pages.at(-1) as Page
      await last.locator("#link", { hasText: "live" }).waitFor()
      await show(last, "hidden")
      const next = await first.context().newPage()
      await next.goto(served.url)
      pages.push(next)
    }
    await maintenance.enter("concurrent", { as: "alice" })
    await show(first, "visible")
    await heading(first, "Concurrent")
  })

  it("offers to leave as soon as a window is entered, also to somebody who has begun another form meanwhile", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("begin; update item set name = name")
      const alice = await openAs("alice")
      await alice.getByRole("radio", { name: "Exclusive" }).check()
      await alice.getByRole("button", { name: "Apply" }).click()
      await alice.getByRole("button", { name: "Enter exclusive mode" }).click()
      await heading(alice, "Entering exclusive")
      await alice.locator("#link", { hasText: "live" }).waitFor()
      await alice.getByLabel("Reason, for operators").first().fill("half a sentence")
      await client.query("rollback")
      await heading(alice, "Exclusive")
      await alice.getByRole("button", { name: "Leave" }).click()
      await heading(alice, "Normal")
    })
  })

  it("takes a click although a part changes while the button is held down", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const alice = await openAs("alice")
    await alice.locator("#link", { hasText: "live" }).waitFor()
    await alice.getByLabel("Ends by itself after").first().focus()
    const leave = await alice.getByRole("button", { name: "Leave" }).boundingBox()
    if (!leave) throw new Error("The button is not shown.")
    await maintenance.extend({ as: "alice", expiresInMs: 3_600_000 })
    await alice.locator("#now", { hasText: "until it ends by itself" }).waitFor()
    const button = (await alice.getByRole("button", { name: "Leave" }).boundingBox()) ?? leave
    await alice.mouse.move(button.x + 5, button.y + 5)
    await alice.mouse.down()
    // The focus has left the field: what was held back would be shown now.
    await alice.evaluate("new Promise((resolve) => setTimeout(resolve))")
    await alice.mouse.up()
    await heading(alice, "Normal")
  })

  it("forgets the outcome of an action when it is loaded again", async () => {
    const alice = await openAs("alice")
    await alice.getByRole("radio", { name: "Concurrent" }).check()
    await alice.getByRole("button", { name: "Apply" }).click()
    await alice.locator("#notice", { hasText: "The mode was changed." }).waitFor()
    await alice.reload()
    expect(await alice.locator("#notice").isHidden()).to.equal(true)
    expect(await alice.title()).to.equal("Shop: concurrent")
    await installed.current.maintenance.leave({ as: "alice" })
    await until(async () => (await alice.title()) === "Shop: normal")
  })

  it("works without JavaScript", async () => {
    const alice = await openAs("alice", { javaScriptEnabled: false })
    await alice.getByRole("radio", { name: "Concurrent" }).check()
    await alice.getByRole("button", { name: "Apply" }).click()
    expect(await alice.locator("#now h2").textContent()).to.include("Concurrent")
    await alice.getByRole("radio", { name: "Exclusive" }).check()
    await alice.getByRole("button", { name: "Apply" }).click()
    await alice.getByRole("button", { name: "Enter exclusive mode" }).click()
    expect(await alice.locator("#now h2").textContent()).to.include("Exclusive")
    await alice.getByRole("button", { name: "Leave" }).click()
    expect(await alice.locator("#now h2").textContent()).to.include("Normal")
  })

  it("is worked by the keyboard alone", async () => {
    const alice = await openAs("alice")
    await alice.getByRole("radio", { name: "Normal" }).focus()
    await alice.keyboard.press("ArrowRight")
    expect(await alice.getByRole("radio", { name: "Concurrent" }).isChecked()).to.equal(true)
    await alice.getByLabel("Reason, for operators").first().focus()
    await alice.keyboard.type("by keyboard")
    await alice.keyboard.press("Enter")
    await heading(alice, "Concurrent")
    expect(await status()).to.include({ mode: "concurrent", reason: "by keyboard" })
    // The outcome has the focus, and what follows is reached by Tab.
    expect(await focused(alice)).to.include("The mode was changed.")
    await alice.getByRole("radio", { name: "Concurrent" }).focus()
    await alice.keyboard.press("ArrowRight")
    await alice.keyboard.press("Enter")
    await alice.locator("#question").waitFor()
    expect(await focused(alice)).to.equal("Enter exclusive mode?")
    await alice.keyboard.press("Tab")
    expect(await focused(alice)).to.equal("Enter exclusive mode")
    await alice.keyboard.press("Enter")
    await heading(alice, "Exclusive")
  })

  it("extends, hands over and ends a window, and says so", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const [alice, carol] = await Promise.all([openAs("alice"), openAs("carol")])
    await alice.getByLabel("New end, from now").selectOption("1 hour")
    await alice.getByRole("button", { name: "Extend" }).click()
    await alice.locator("#notice", { hasText: "The end of the window was changed." }).waitFor()
    await alice.locator("#now", { hasText: "until it ends by itself" }).waitFor()
    await alice.getByLabel("New maintainer").fill("carol")
    await alice.getByRole("button", { name: "Transfer" }).click()
    await alice.getByRole("heading", { name: "Hand the window over to “carol”?" }).waitFor()
    await alice.getByRole("button", { name: "Hand over" }).click()
    await alice.locator("#notice", { hasText: "The window was handed over to carol." }).waitFor()
    expect(await status()).to.include({ maintainer: "carol" })
    await carol.locator("#now", { hasText: "by carol" }).waitFor()
    await carol.getByRole("button", { name: "Leave" }).click()
    await carol.locator("#notice", { hasText: "The window was ended." }).waitFor()
    await heading(alice, "Normal")
    // What was the outcome is not what holds any longer.
    expect(await alice.locator("#notice").isHidden()).to.equal(true)
  })

  it("lets one of two users win who press at once, and tells the other", async () => {
    const [alice, bob] = await Promise.all([openAs("alice"), openAs("bob")])
    for (const page of [alice, bob]) await page.getByRole("radio", { name: "Concurrent" }).check()
    await Promise.all([alice, bob].map((page) => page.getByRole("button", { name: "Apply" }).click()))
    const { maintainer } = await statusThat(
      installed.current.maintenance,
      ({ mode }) => mode === "concurrent",
    )
    const loser = maintainer === "alice" ? bob : alice
    await loser.locator("#notice").waitFor()
    expect(await loser.locator("#notice").textContent()).to.match(
      /Mode not changed: .* maintenance by (alice|bob)|The mode has changed since this page was loaded/,
    )
  })

  it("tells, on the open page, that a window was abandoned", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("begin; update item set name = name")
      const alice = await openAs("alice")
      await alice.getByRole("radio", { name: "Exclusive" }).check()
      await alice.getByLabel("Wait for transactions").first().selectOption("10 s")
      await alice.getByRole("button", { name: "Apply" }).click()
      await alice.getByRole("button", { name: "Enter exclusive mode" }).click()
      await heading(alice, "Entering exclusive")
      await alice.locator("#notice", { hasText: "Mode not changed: alice was entering" }).waitFor()
      await heading(alice, "Normal")
      await client.query("rollback")
    })
  })

  it("loads nothing from elsewhere, and reports no fault of its own content policy", async () => {
    const context = await browser.newContext({ extraHTTPHeaders: { "x-user": "alice" } })
    contexts.push(context)
    const page = await context.newPage()
    const [requests, complaints]: [string[], string[]] = [[], []]
    page.on("request", (request) => requests.push(request.url()))
    page.on("console", (message) => complaints.push(message.text()))
    await page.goto(served.url)
    await page.locator("#link", { hasText: "live" }).waitFor()
    expect(requests.filter((request) => !request.startsWith(served.url))).to.deep.equal([])
    expect(complaints).to.deep.equal([])
  })

  describe("shared by two applications", () => {
    it("shows in each what the other changes, and ends what the other enters", async () => {
      await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
        const other = await serve(createPanel(maintenance, { authorize, title: "Worker" }))
        try {
          await withClient(database.current.url, async (client) => {
            await client.query("begin; update item set name = name")
            const [here, there] = [await openAs("alice"), await openAs("alice", {}, other.url)]
            await there.locator("#link", { hasText: "live" }).waitFor()
            await here.getByRole("radio", { name: "Exclusive" }).check()
            await here.getByRole("button", { name: "Apply" }).click()
            await here.getByRole("button", { name: "Enter exclusive mode" }).click()
            await heading(here, "Entering exclusive")
            await heading(there, "Entering exclusive")
            await there.getByRole("button", { name: "Leave" }).click()
            await heading(there, "Normal")
            await heading(here, "Normal")
            await client.query("rollback")
          })
        } finally {
          await other.close()
        }
      })
    })

    it("shows what another application changes", async () => {
      const alice = await openAs("alice")
      await alice.locator("#link", { hasText: "live" }).waitFor()
      await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
        await maintenance.during("exclusive", { as: "alice", reason: "elsewhere" }, () =>
          heading(alice, "Exclusive"),
        )
      })
      await heading(alice, "Normal")
    })
  })

  describe("in every state", () => {
    beforeEach(async () => {
      await database.current.sql(history)
      // A panel that has read another history shows that for a while.
      await served.close()
      served = await serveShop()
    })

    /** States of the page, each of which is looked at. */
    const states: Readonly<Record<string, (look: Look) => Promise<void>>> = {
      normal: (look) => look("alice"),
      async question(look) {
        await withClient(database.current.url, async (client) => {
          await client.query("set application_name = 'shop-worker'; begin; update item set name = name")
          await look("alice", async (page) => {
            await page.getByRole("radio", { name: "Exclusive" }).check()
            await page.getByLabel("Reason, for operators").first().fill("Rebuild the catalog")
            await page.getByRole("button", { name: "Apply" }).click()
            await page.locator("#question", { hasText: "shop-worker" }).waitFor()
          })
          await client.query("rollback")
        })
      },
      async concurrent(look) {
        const { dataSource, maintenance } = installed.current
        await maintenance.enter("concurrent", {
          as: "alice",
          reason: "Backfill prices",
          message: "Orders are back at 14:30.",
          plannedForMs: 1_800_000,
          expiresInMs: 7_200_000,
        })
        await maintenance.progress(
          { done: 412_000, total: 1_200_000, note: "prices of 2024" },
          { as: "alice" },
        )
        for (let time = 0; time < 40; time++)
          await errorOf(dataSource.getRepository(Item).insert({ name: "no" }))
        await look("alice")
      },
      async "other-user"(look) {
        await installed.current.maintenance.enter("concurrent", { as: "bob", reason: "Backfill prices" })
        await look("alice")
      },
      async entering(look) {
        await withClient(database.current.url, async (client) => {
          await client.query("set application_name = 'shop-worker'")
          await client.query("begin; update item set name = name")
          const alice = await openAs("alice")
          await alice.getByRole("radio", { name: "Exclusive" }).check()
          await alice.getByLabel("Reason, for operators").first().fill("Rebuild the catalog")
          await alice.getByLabel("Message, for the public").first().fill("Back at 14:30.")
          await alice.getByLabel("Wait for transactions").first().selectOption("15 min")
          await alice.getByRole("button", { name: "Apply" }).click()
          await alice.getByRole("button", { name: "Enter exclusive mode" }).click()
          await heading(alice, "Entering exclusive")
          await look("alice")
          await client.query("rollback")
          await heading(alice, "Exclusive")
        })
      },
      async exclusive(look) {
        await installed.current.maintenance.announce("exclusive", {
          as: "carol",
          startsInMs: 8 * 3_600_000,
          expiresInMs: 3_600_000,
          reason: "Upgrade to 18.5",
        })
        await installed.current.maintenance.enter("exclusive", { as: "alice", reason: "Failover" })
        await look("alice")
      },
      viewer: (look) => look("visitor"),
    }
    const looks = [
      ["light", { colorScheme: "light" }],
      ["dark", { colorScheme: "dark" }],
      ["phone-light", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
      ["phone-dark", { colorScheme: "dark", viewport: { width: 390, height: 844 } }],
    ] as const

    for (const [state, prepare] of Object.entries(states)) {
      it(`has no fault that axe-core finds, in light and dark, on a desktop and a phone: ${state}`, async () => {
        await prepare(async (user, act) => {
          for (const [name, options] of looks) {
            const page = await openAs(user, options)
            await act?.(page)
            await page.locator("#link", { hasText: "live" }).waitFor()
            await page.evaluate(axe)
            const faults = await page.evaluate(async () => {
              const { violations } = await (
                globalThis as unknown as {
                  axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> }
                }
              ).axe.run()
              return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)
            })
            expect(faults, name).to.deep.equal([])
            const isTooWide = await page.evaluate<boolean>(
              "document.documentElement.scrollWidth > document.documentElement.clientWidth",
            )
            expect(isTooWide, `${name} scrolls sideways`).to.equal(false)
            if (images) {
              mkdirSync(images, { recursive: true })
              await page.screenshot({ path: join(images, `panel-${state}-${name}.png`), fullPage: true })
            }
          }
        })
      })
    }
  })
})

/** The windows and the refusals of the last days, so that no picture is empty. */
const history = `
  delete from maintenance.window where position = 'over';
  delete from maintenance.refusal;
  insert into maintenance.window
    (id, position, mode, maintainer, reason, since, begun_at, terms, ended_at, ended_because, ended_by)
  select id, 'over', mode, maintainer, reason, begun, begun, id, begun + lasting, because, ended_by from (values
    ('h1', 'concurrent', 'carol', 'Backfill prices', date_trunc('day', now()) - interval '15 hours', interval '400 seconds', 'left', 'carol'),
    ('h2', 'exclusive', 'deploy', 'Migrations 1.42', date_trunc('day', now()) - interval '2 hours', interval '41 seconds', 'left', 'deploy'),
    ('h3', 'exclusive', 'bob', 'Upgrade to 18.4', date_trunc('day', now()) - interval '45 hours', interval '30 minutes', 'expired', null),
    ('h4', 'concurrent', 'alice', 'Rebuild the catalog', date_trunc('day', now()) - interval '70 hours', interval '95 minutes', 'taken over', 'break-glass')
  ) as past (id, mode, maintainer, reason, begun, lasting, because, ended_by);
  insert into maintenance.refusal (window_id, instance, minute, entity, operation, count)
  select 'h' || 1 + n % 2, 'elsewhere', date_trunc('minute', now()) - n * interval '1 minute', entity, operation,
    1 + (n * n * 7 + length(entity)) % 23 * case when n < 14 then 4 else 1 end
  from generate_series(1, 45) n, (values ('Product', 'update'), ('Session', 'insert')) as changes (entity, operation)
  where n % 11 <> 0`

/** Tells a page that its tab is shown or hidden. Every page of a browser without a screen counts as shown. */
async function show(page: Page, state: "visible" | "hidden"): Promise<void> {
  await page.evaluate((value) => {
    const { document } = globalThis as unknown as { document: EventTarget }
    Object.defineProperty(document, "visibilityState", { value, configurable: true })
    document.dispatchEvent(new Event("visibilitychange"))
  }, state)
}

/** Text of the element that has the focus. */
async function focused(page: Page): Promise<string> {
  return (await page.evaluate<string>("document.activeElement.textContent")).trim()
}

/** Looks at the page of a user, after what the user does there. */
type Look = (user: string, act?: (page: Page) => Promise<void>) => Promise<void>

/** A panel that is served. */
interface Served {
  readonly url: string
  /** Closes the panel and the server. */
  close(): Promise<void>
}

/** Serves a panel, on any free port unless one is named. */
async function serve(panel: Panel, port = 0): Promise<Served> {
  const server = createServer(nodeHandler(panel)).listen(port, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      await panel.close()
      server.closeAllConnections()
      server.close()
    },
  }
}
