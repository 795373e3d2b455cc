import { connect } from "node:net"
import { postgresVersion, settings, startEmbeddedServer } from "./embedded-server"

/** A PostgreSQL server to make databases on. */
export interface Server {
  /** Of a superuser, or a role that may create databases and roles. */
  readonly url: string
  readonly description: string
  stop(): Promise<void>
}

/** The server that the tests run on: the one that is named, else a container, else an embedded one. */
export async function startServer(): Promise<Server> {
  const url = process.env["MAINTENANCE_TEST_URL"]
  if (url) return { url, description: "MAINTENANCE_TEST_URL", stop: async () => undefined }
  if (await containerEngineAnswers()) return startContainer()
  return startEmbeddedServer()
}

async function startContainer(): Promise<Server> {
  const { PostgreSqlContainer } = await import("@testcontainers/postgresql")
  const container = await new PostgreSqlContainer(`postgres:${postgresVersion()}`)
    .withCommand(["postgres", ...settings])
    .start()
  return {
    url: container.getConnectionUri(),
    description: `PostgreSQL ${postgresVersion()} in a container`,
    stop: async () => void (await container.stop()),
  }
}

/** Whether there is more of a container engine than its client: something accepts a connection. */
function containerEngineAnswers(): Promise<boolean> {
  const host = process.env["DOCKER_HOST"]
  if (host && !host.startsWith("unix://")) return Promise.resolve(true)
  return new Promise((resolve) => {
    const socket = connect(host?.slice("unix://".length) ?? "/var/run/docker.sock")
    socket.once("connect", () => {
      socket.end()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })
}
