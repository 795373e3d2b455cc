import "reflect-metadata"
import { type Server, startServer } from "./server"

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
