import "reflect-metadata"
import { Controller, Get, Module } from "@nestjs/common"
import { NestFactory } from "@nestjs/core"
import { expect } from "chai"
import fastify from "fastify"
import type { RequestListener, Server } from "node:http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { EnterOptions, Mode } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { openShop } from "../support/shop"
import { endWindow } from "../support/window"

/** Starts a server that does the work at `/`, and leaves errors to the framework. */
type Framework = (work: () => Promise<unknown>) => Promise<{ url: string; close(): Promise<unknown> }>

type Next = (error?: unknown) => void
interface ExpressApplication extends RequestListener {
  get(
    path: string,
    handler: (request: unknown, response: { json(body: unknown): void }, next: Next) => unknown,
  ): void
}
const express = require("express") as () => ExpressApplication

async function listening(server: Server): ReturnType<Framework> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const close = () => new Promise((resolve) => server.close(resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close }
}

const frameworks: Record<string, Framework> = {
  "Express 5": (work) => {
    const application = express()
    application.get("/", async (_request, response) => response.json(await work()))
    return listening(createServer(application))
  },
  "Fastify 5": async (work) => {
    const application = fastify()
    application.get("/", work)
    return { url: await application.listen({ port: 0, host: "127.0.0.1" }), close: () => application.close() }
  },
  "Nest 12": async (work) => {
    @Controller()
    class Shop {
      @Get()
      show() {
        return work()
      }
    }
    @Module({ controllers: [Shop] })
    class Application {}
    const application = await NestFactory.create(Application, { logger: false })
    await application.listen(0, "127.0.0.1")
    return { url: await application.getUrl(), close: () => application.close() }
  },
}

describe("An application without an error handler", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))

  const { NODE_ENV } = process.env
  const { error: realError } = console
  let logged = ""
  afterEach(async () => {
    console.error = realError
    if (NODE_ENV === undefined) delete process.env["NODE_ENV"]
    else process.env["NODE_ENV"] = NODE_ENV
    await endWindow(installed.current.maintenance)
  })

  /** The complete answer while alice holds a window. */
  async function answer(
    framework: Framework,
    environment: string | undefined,
    mode: Mode,
    options: EnterOptions,
  ) {
    const { dataSource, maintenance } = installed.current
    if (environment === undefined) delete process.env["NODE_ENV"]
    else process.env["NODE_ENV"] = environment
    logged = ""
    console.error = (...texts: unknown[]) => void (logged += texts.join(" "))
    await maintenance.enter(mode, { as: "alice", reason: "rebuild the catalog", ...options })
    const server = await framework(() => dataSource.query("insert into item (name) values ('crate')"))
    try {
      const response = await fetch(server.url, { headers: { accept: "application/json" } })
      const headers = Object.fromEntries(response.headers)
      return {
        status: response.status,
        headers,
        text: `${JSON.stringify(headers)}\n${await response.text()}`,
      }
    } finally {
      await server.close()
    }
  }

  for (const [name, framework] of Object.entries(frameworks)) {
    for (const environment of [undefined, "production"]) {
      for (const mode of ["concurrent", "exclusive"] as const) {
        it(`answers 503 in ${mode} mode, without the maintainer or the reason: ${name}, NODE_ENV ${environment ?? "unset"}`, async () => {
          const { status, headers, text } = await answer(framework, environment, mode, {})
          expect(status).to.equal(503)
          expect(text).not.to.match(/alice|rebuild/)
          expect(headers).not.to.have.property("retry-after")
        })
      }
    }

    if (name === "Fastify 5")
      it(`answers with the maintainer's public message: ${name}`, async () => {
        const { text } = await answer(framework, "production", "exclusive", { message: "Back at nine." })
        expect(text)
          .to.include("Back at nine.")
          .and.not.to.match(/alice|rebuild/)
      })
    if (name === "Nest 12") continue
    it(`answers with the time after which to retry, if known: ${name}`, async () => {
      const { headers } = await answer(framework, "production", "exclusive", { expiresInMs: 60_000 })
      expect(Number(headers["retry-after"])).to.be.within(1, 60)
    })
  }
})
