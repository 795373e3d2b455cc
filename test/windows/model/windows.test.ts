import { expect } from "chai"
import { Client } from "pg"
import { maintenanceSchemaSql } from "../../../src"
import { TestDatabase } from "../../support/database"
import { errorOf } from "../../support/error-of"
import { type Action, stories } from "./actions"
import { introduce, type Variant, variants } from "./broken-variants"
import { counterexample, expectNone } from "./search"
import { emptied, helpers } from "./snapshot"
import { Story } from "./story"

describe("The windows of the database and of the rules", () => {
  let database: TestDatabase
  let client: Client
  beforeEach(async () => {
    database = await TestDatabase.create()
    client = new Client({ connectionString: database.url })
    await client.connect()
    await client.query(maintenanceSchemaSql())
    await client.query(helpers)
  })
  afterEach(async () => {
    await client.end()
    await database.drop()
  })

  const tell = (actions: readonly Action[]) => new Story(database.url, client).tell(actions)

  it("agree in random stories", async function () {
    this.timeout(0)
    await expectNone(stories, tell, 60)
  })

  for (const variant of variants) {
    it(`differ if the database has ${variant.name}`, async function () {
      this.timeout(0)
      await introduce(client, variant)
      const found = await counterexample(stories, tell, { numRuns: 1000, endOnFailure: true })
      expect(found).to.match(/^select maintenance\.[^]*-- Here the rules and the database differ/m)
    })
  }

  it("yield a shortest counterexample, as a script to run", async function () {
    this.timeout(0)
    const variant = variants.find((one) => one.function === "leave") as Variant
    await introduce(client, variant)
    const found = (await counterexample(stories, tell, { numRuns: 1000 })) ?? ""
    const lines = found.split("\n").filter((line) => line.startsWith("select maintenance."))
    expect(lines).to.deep.equal([
      "select maintenance.void(array['leave 1']);",
      "select maintenance.leave('alice', false, 'leave 1');",
    ])
    expect(await refusalIn(database.url, found)).to.equal("MM004")
    await client.query(emptied)
  })
})

/**
 * Runs a printed counterexample, with a connection for each session. Resolves with the refusal of the last
 * line.
 */
async function refusalIn(url: string, script: string): Promise<string | undefined> {
  const sessions = new Map<string, Client>()
  let session = "outsider"
  let refusal: string | undefined
  for (const line of script.split("\n")) {
    session = /^-- Session: (.*)/.exec(line)?.[1] ?? session
    const client = sessions.get(session) ?? new Client({ connectionString: url })
    if (!sessions.has(session)) await client.connect()
    sessions.set(session, client)
    if (line === "\\q") await client.end()
    if (!line.startsWith("select ")) continue
    refusal = ((await errorOf(client.query(line))) as { code?: string } | undefined)?.code
  }
  for (const client of sessions.values()) await client.end()
  return refusal
}
