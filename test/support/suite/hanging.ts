// A test that never finishes, for tests of signals. It prints the process id of its server.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { serverUrl, withClient } from "../database"

describe("A test", () => {
  it("never finishes", async function () {
    this.timeout(0)
    await withClient(serverUrl(), async (client) => {
      const { rows } = await client.query<{ data_directory: string }>("show data_directory")
      const file = join(rows[0]?.data_directory as string, "postmaster.pid")
      console.log(`server ${readFileSync(file, "utf8").split("\n")[0]}`)
    })
    await new Promise((resolve) => setInterval(resolve, 2 ** 31 - 1))
  })
})
