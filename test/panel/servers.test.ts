import "reflect-metadata"
import { once } from "node:events"
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { Module } from "@nestjs/common"
import { NestFactory } from "@nestjs/core"
import { expect } from "chai"
import fastify from "fastify"
import {
  type Authorize,
  createPanel,
  fastifyPanel,
  nodeHandler,
  nodeRequestOf,
  type Panel,
} from "../../src/panel"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { endWindowAfterEach } from "../support/window"
import { PlainBrowser } from "./plain-browser"

/** The parts of Express that are used. It has no types of its own. */
interface ExpressModule {
  (): RequestListener & { use(...handlers: unknown[]): unknown }
  urlencoded(options?: { extended: boolean }): unknown
  json(): unknown
  text(options: { type: string }): unknown
  raw(options: { type: string }): unknown
}
const express = require("express") as ExpressModule

describe("The control panel in a server", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)

  const basePath = "/admin/maintenance"
  const authorize = () => ({ user: "alice", role: "maintainer" }) as const

  /** Enters and leaves by the forms of a panel that a server has. */
  const use = async (origin: string) => {
    const remote: Panel = {
      fetch: (request) => fetch(request, { redirect: "manual" }),
      close: async () => undefined,
    }
    const browser = new PlainBrowser(remote, undefined, { origin, base: basePath })
    expect((await browser.open()).status).to.equal(200)
    const entered = await browser.send("/actions/switch", { mode: "concurrent", reason: "by form" })
    expect(entered.status).to.equal(303)
    expect(entered.headers.get("location")).to.equal(`${basePath}/`)
    expect(await installed.current.maintenance.status()).to.include({
      maintainer: "alice",
      reason: "by form",
    })
    const events = await fetch(`${origin}${basePath}/events`)
    expect(events.headers.get("content-type")).to.equal("text/event-stream")
    await events.body?.cancel()
  }

  const withServer = async (
    listener: (panel: Panel) => RequestListener,
    identify: Authorize = authorize,
    work = use,
  ) => {
    const panel = createPanel(installed.current.maintenance, { authorize: identify, basePath })
    const server = createServer(listener(panel)).listen(0, "127.0.0.1")
    await once(server, "listening")
    try {
      await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    } finally {
      await panel.close()
      server.closeAllConnections()
      server.close()
    }
  }

  it("of node:http", () => withServer(nodeHandler))

  it("of Express 5", () =>
    withServer((panel) => {
      const app = express()
      app.use(basePath, nodeHandler(panel))
      return app
    }))

  it("of Express 5, which has identified the user", () =>
    withServer(
      (panel) => {
        const app = express()
        app.use((request: { user?: string }, _response: unknown, next: () => void) => {
          request.user = "alice"
          next()
        })
        app.use(basePath, nodeHandler(panel))
        return app
      },
      (request) => {
        const { user } = nodeRequestOf(request) as { user?: string } & IncomingMessage
        return user === undefined ? undefined : { user, role: "maintainer" }
      },
    ))

  it("of Express 5, behind a body parser", () =>
    withServer((panel) => {
      const app = express()
      app.use(express.urlencoded())
      app.use(basePath, nodeHandler(panel))
      return app
    }))

  for (const [name, parser] of [
    ["JSON", () => express.json()],
    ["nested fields", () => express.urlencoded({ extended: true })],
  ] as const) {
    it(`of Express 5, behind a parser of ${name}, refuses what is no form of the panel`, () =>
      withServer(
        (panel) => {
          const app = express()
          app.use(parser())
          app.use(basePath, nodeHandler(panel))
          return app
        },
        authorize,
        async (origin) => {
          for (const [type, body] of [
            ["application/json", "[1]"],
            ["application/json", '{"a":{"toString":1}}'],
            ["application/json", '[["a","b","c"]]'],
            ["application/x-www-form-urlencoded", "a[toString]=1&a[b]=2"],
          ] as const) {
            const sent = await fetch(`${origin}${basePath}/actions/leave`, {
              method: "POST",
              body,
              headers: { "content-type": type, origin },
            })
            expect(sent.status, body).to.equal(403)
          }
        },
      ))
  }

  it("of Nest 12", async () => {
    @Module({})
    class Application {}
    const app = await NestFactory.create(Application, { logger: false })
    const panel = createPanel(installed.current.maintenance, { authorize, basePath })
    app.use(basePath, nodeHandler(panel))
    await app.listen(0, "127.0.0.1")
    try {
      await use(await app.getUrl())
    } finally {
      await panel.close()
      const server = app.getHttpServer() as Server
      server.closeAllConnections()
      await app.close()
    }
  })

  for (const [name, parser] of [
    ["text", () => express.text({ type: "*/*" })],
    ["bytes", () => express.raw({ type: "*/*" })],
  ] as const) {
    it(`of Express 5, behind a parser that leaves ${name}`, () =>
      withServer((panel) => {
        const app = express()
        app.use(parser())
        app.use(basePath, nodeHandler(panel))
        return app
      }))
  }

  it("of Fastify 5", async () => {
    const panel = createPanel(installed.current.maintenance, { authorize, basePath })
    const app = fastify()
    await app.register(fastifyPanel(panel) as never, { prefix: basePath })
    const origin = await app.listen({ port: 0, host: "127.0.0.1" })
    try {
      await use(origin)
    } finally {
      await panel.close()
      app.server.closeAllConnections()
      await app.close()
    }
  })
})
