import { expect } from "chai"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { until } from "../support/until"
import { endWindowAfterEach } from "../support/window"
import { runCli, type Running, startCli } from "./run-cli"

const another = "For a new link, stop the command with Ctrl-C and start it again."

describe("The command panel", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)
  let running: Running | undefined

  afterEach(async () => {
    running?.child.kill("SIGINT")
    await running?.ended
    running = undefined
  })

  /** Starts the command; resolves with the link that it prints. */
  const start = async (...args: string[]): Promise<URL> => {
    const started = startCli(["panel", ...args], { DATABASE_URL: database.current.url })
    running = started
    const link = () => /http:\/\/\S+/.exec(started.printed().stdout)?.[0]
    await until(() => link() !== undefined || started.child.exitCode !== null)
    return new URL(link() ?? started.printed().stderr)
  }
  /** A free port, which may be taken again before it is used. */
  const freePort = async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    return String(port)
  }
  const get = (url: URL | string, cookie = "") => fetch(url, { redirect: "manual", headers: { cookie } })
  const sessionOf = (response: Response) => (response.headers.get("set-cookie") ?? "").split(";")[0] as string

  it("serves the panel to whoever opens its link first, in the name of --as, until Ctrl-C", async () => {
    const link = await start("--as", "alice", "--port", await freePort())
    expect(link.hostname).to.equal("127.0.0.1")
    expect(running?.printed().stderr).to.include("Acting as alice (from --as).")
    const stranger = await get(link.origin)
    expect(stranger.status).to.equal(403)
    expect(await stranger.text()).to.equal(
      `Open the link that the command has printed. If it was opened before: ${another}`,
    )
    const first = await get(link)
    expect(first.status).to.equal(303)
    expect(first.headers.get("location")).to.equal("/")
    expect(first.headers.get("set-cookie")).to.match(/HttpOnly; SameSite=Lax; Path=\/$/)
    const again = await get(link)
    expect(again.status).to.equal(403)
    expect(await again.text()).to.equal(`This link is not valid, or was used before. ${another}`)
    expect(running?.printed().stdout).to.include(`The link works once, in one browser. ${another}\n`)
    const session = sessionOf(first)
    const page = await get(link.origin, session)
    expect(page.status).to.equal(200)
    const html = await page.text()
    expect(html).to.include("alice · maintainer").and.to.include("Maintenance of maintenance_test_")
    const token = sessionOf(page)
    const body = new URLSearchParams({
      mode: "concurrent",
      reason: "by panel",
      maintenance_token: token.split("=")[1] as string,
      windowId: "",
    })
    const changed = await fetch(`${link.origin}/actions/switch`, {
      method: "POST",
      body,
      redirect: "manual",
      headers: { cookie: `${session}; ${token}`, origin: link.origin },
    })
    expect(changed.status).to.equal(303)
    expect(await installed.current.maintenance.status()).to.include({
      maintainer: "alice",
      reason: "by panel",
    })
    running?.child.kill("SIGINT")
    expect(await running?.ended).to.include({ code: 0, signal: null })
    expect(running?.printed().stdout).to.include("The mode is now: concurrent by alice (by panel).")
    // The window stands until somebody leaves.
    expect(await installed.current.maintenance.status()).to.include({ maintainer: "alice" })
  })

  it("prints another link when it is started again, and forgets the former session", async () => {
    const former = await start("--as", "alice", "--port", await freePort())
    const session = sessionOf(await get(former))
    running?.child.kill("SIGINT")
    await running?.ended
    const link = await start("--as", "alice", "--port", former.port)
    expect(link.search).to.not.equal(former.search)
    expect((await get(link.origin, session)).status).to.equal(403)
    expect((await get(link)).status).to.equal(303)
  })

  it("refuses a wrong ticket, and a session of another panel", async () => {
    const link = await start("--as", "alice", "--port", await freePort())
    for (const ticket of ["", "wrong", "ä".repeat(32), "A".repeat(32)])
      expect((await get(`${link.origin}/?ticket=${encodeURIComponent(ticket)}`)).status).to.equal(403)
    const [name] = sessionOf(await get(link)).split("=")
    for (const session of ["", "A".repeat(32), "ä"]) {
      const cookie = `${name}=${encodeURIComponent(session)}`
      expect((await get(link.origin, cookie)).status).to.equal(403)
    }
  })

  it("says which port is in use, and that a port must be a number", async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve))
    const { port } = taken.address() as AddressInfo
    const environment = { DATABASE_URL: database.current.url }
    const refused = await runCli(["panel", "--port", String(port)], environment)
    expect(refused.code).to.equal(2)
    expect(refused.stderr).to.include(`Port ${port} is in use. Name another with --port.`)
    taken.close()
    for (const [option, wrong] of [
      ["--port", "web"],
      ["--port", "70000"],
      ["--host", "192.0.2.1"],
    ] as const) {
      const { code, stderr } = await runCli(["panel", option, wrong], environment)
      expect(code, wrong).to.equal(2)
      expect(stderr).to.include(option)
    }
  })
})
