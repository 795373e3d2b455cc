import "reflect-metadata"
import type { RootHookObject } from "mocha"
import { type Server, startServer } from "./server"
import { openDataSources } from "./data-source"

let server: Server | undefined

export async function mochaGlobalSetup(): Promise<void> {
  server = await startServer()
  process.env["MAINTENANCE_SERVER_URL"] = server.url
  const typeorm = require.resolve("typeorm").includes("typeorm-0.3") ? "0.3" : "1.x"
  console.log(`Tests run on ${server.description}, TypeORM ${typeorm}.`)
}

export async function mochaGlobalTeardown(): Promise<void> {
  await server?.stop()
}

/** A test that leaves a DataSource open would leave its connections, its mode or its context to the next. */
export const mochaHooks: RootHookObject = {
  afterEach() {
    if (openDataSources.size > 0) throw new Error(`${openDataSources.size} DataSources were left open.`)
  },
}
