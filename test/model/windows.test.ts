import { expect } from "chai"
import { Client } from "pg"
import { maintenanceSchemaSql } from "../../src"
import { TestDatabase } from "../support/database"
import { type Action, stories } from "./actions"
import { mistaken, type Variant, variants } from "./broken-variants"
import { counterexample, expectNone } from "./search"
import { emptied, helpers } from "./snapshot"
import { Story } from "./story"

describe("The windows, by the rules and by the database", () => {
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
  const mistake = async (variant: Variant) => {
    const text = `select pg_get_functiondef('maintenance.${variant.function}'::regproc) as definition`
    const { rows } = await client.query<{ definition: string }>(text)
    await client.query(mistaken(rows[0]?.definition ?? "", variant))
  }

  it("are the same in random stories", async function () {
    this.timeout(0)
    await expectNone(stories, tell, 100)
  })

  for (const variant of variants) {
    it(`differ where the database has ${variant.name}`, async function () {
      this.timeout(0)
      await mistake(variant)
      const found = await counterexample(stories, tell, { numRuns: 1000, endOnFailure: true })
      expect(found).to.match(/^select maintenance\.[^]*-- Here the rules and the database differ/m)
    })
  }

  it("differ in a story that is as short as can be, and is a script to run", async function () {
    this.timeout(0)
    const [variant] = variants
    await mistake(variant as Variant)
    const found = (await counterexample(stories, tell, { numRuns: 100 })) ?? ""
    expect(found.match(/start_entering/g)).to.have.length(2)
    expect(found).to.match(/^select maintenance\.finish\('task \d'\);\n-- Here/m)
    await runScript(database.url, found)
    const { rows } = await client.query("select * from maintenance.windows()")
    expect(rows).to.deep.equal([])
    expect(found).to.match(/by the database \[\]$/)
    await client.query(emptied)
  })
})

/** Runs what a counterexample prints, each session as one of its own. */
async function runScript(url: string, script: string): Promise<void> {
  const sessions = new Map<string, Client>()
  let session = "outsider"
  for (const line of script.split("\n")) {
    session = /^-- Session: (.*)/.exec(line)?.[1] ?? session
    const client = sessions.get(session) ?? new Client({ connectionString: url })
    if (!sessions.has(session)) await client.connect()
    sessions.set(session, client)
    if (line === "\\q") await client.end()
    // What is refused is part of the story.
    if (line.startsWith("select ")) await client.query(line).catch(() => undefined)
  }
  for (const client of sessions.values()) await client.end()
}
