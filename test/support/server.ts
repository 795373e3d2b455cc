import { connect } from "node:net"
import { embeddedDescription, postgresVersion, settings, startEmbeddedServer } from "./embedded-server"

/** A PostgreSQL server on which tests create databases. */
export interface Server {
  /** The URL for a superuser, or a role that may create databases and roles. */
  readonly url: string
  readonly description: string
  stop(): Promise<void>
}

/** The URL of the shared server, if one is configured. */
export const sharedUrl = process.env["MAINTENANCE_TEST_URL"]

/** Starts the server for the tests: the configured one, else a container, else an embedded one. */
export async function startServer(): Promise<Server> {
  if (sharedUrl) return { url: sharedUrl, description: await describeServer(), stop: async () => undefined }
  if (await containerEngineAnswers()) return startContainer()
  return startEmbeddedServer()
}

/** A description of the server that `startServer()` starts. */
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

/**
 * Whether a container engine is running, and not only its client installed: something accepts a connection.
 */
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
