import { connect } from "node:net"
import { embeddedDescription, postgresVersion, settings, startEmbeddedServer } from "./embedded-server"

/** A PostgreSQL server to make databases on. */
export interface Server {
  /** Of a superuser, or a role that may create databases and roles. */
  readonly url: string
  readonly description: string
  stop(): Promise<void>
}

/** The URL of the server that is named for all tests, if one is. */
export const sharedUrl = process.env["MAINTENANCE_TEST_URL"]

/** The server that the tests run on: the one that is named, else a container, else an embedded one. */
export async function startServer(): Promise<Server> {
  if (sharedUrl) return { url: sharedUrl, description: await describeServer(), stop: async () => undefined }
  if (await containerEngineAnswers()) return startContainer()
  return startEmbeddedServer()
}

/** What `startServer` starts, in words. */
export async function describeServer(): Promise<string> {
  if (sharedUrl) return "MAINTENANCE_TEST_URL"
  if (await containerEngineAnswers()) return `PostgreSQL ${postgresVersion()} in a container`
  return embeddedDescription()
}

async function startContainer(): Promise<Server> {
  const { PostgreSqlContainer } = await import("@testcontainers/postgresql")
  const container = await new PostgreSqlContainer(`postgres:${postgresVersion()}`)
    .withCommand(["postgres", ...settings])
    .start()
  return {
    url: container.getConnectionUri(),
    description: await describeServer(),
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
