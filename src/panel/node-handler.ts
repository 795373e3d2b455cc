import type { IncomingMessage, ServerResponse } from "node:http"
import { getRequestListener } from "@hono/node-server"
import type { Panel } from "./panel"
import { warn } from "./warn"

/**
 * A request listener for `node:http`, which Express 5 and Nest take as well:
 * `app.use("/admin/maintenance", nodeHandler(panel))`.
 */
export function nodeHandler(panel: Panel): (request: IncomingMessage, response: ServerResponse) => void {
  const listener = listenerOf(panel)
  return (request, response) => {
    listener(request, response).catch((error: unknown) => {
      warn(error)
      if (!response.headersSent) response.writeHead(500)
      response.end()
    })
  }
}

/** The requests of the server, by those that the panel gets. */
const received = new WeakMap<Request, IncomingMessage>()

/**
 * The request of the server from which `nodeHandler()` or `fastifyPanel()` has made a request, for `authorize`: what
 * middleware has put there, such as Express's `request.user`. Undefined for other requests.
 */
export function nodeRequestOf(request: Request): IncomingMessage | undefined {
  return received.get(request)
}

function listenerOf(panel: Panel): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const listener = getRequestListener(
    (request, { incoming }) => {
      received.set(request, incoming as IncomingMessage)
      return panel.fetch(request)
    },
    { overrideGlobalObjects: false },
  )
  return async (request, response) => {
    restoreBody(request)
    await listener(request, response)
  }
}

/** Gives back the form that a body parser of the application has read already. */
function restoreBody(request: IncomingMessage & { body?: unknown; rawBody?: Buffer }): void {
  const { body } = request
  if (!request.readableEnded || request.rawBody || !body) return
  if (Buffer.isBuffer(body) || typeof body === "string") request.rawBody = Buffer.from(body as string)
  else if (typeof body === "object") {
    // A parser may have made anything of it. The forms of the panel have texts only.
    const fields = Object.entries(body).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    )
    request.rawBody = Buffer.from(new URLSearchParams(fields).toString())
  }
}

/** The parts of Fastify (5) that are used. */
interface FastifyLike {
  removeAllContentTypeParsers(): void
  addContentTypeParser(
    type: string,
    parser: (request: unknown, payload: unknown, done: (error: null) => void) => void,
  ): unknown
  all(
    path: string,
    handler: (
      request: { raw: IncomingMessage },
      reply: { hijack(): void; raw: ServerResponse },
    ) => Promise<void>,
  ): unknown
}

/** A plugin for Fastify 5: `app.register(fastifyPanel(panel), { prefix: "/admin/maintenance" })`. */
export function fastifyPanel(panel: Panel): (fastify: FastifyLike) => Promise<void> {
  const handle = nodeHandler(panel)
  return async (fastify) => {
    // The panel reads its forms itself.
    fastify.removeAllContentTypeParsers()
    fastify.addContentTypeParser("*", (_request, _payload, done) => done(null))
    for (const path of ["/", "/*"]) {
      fastify.all(path, async (request, reply) => {
        reply.hijack()
        handle(request.raw, reply.raw)
      })
    }
  }
}
