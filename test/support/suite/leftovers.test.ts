import { expect } from "chai"
import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"

describe("The root hooks", () => {
  const found = new Map<string, string[]>()
  before(async () => {
    const child = fork(join(__dirname, "leave-behind.js"), { execArgv: [] })
    child.on("message", ([kind, failures]: [string, string[]]) => found.set(kind, failures))
    await once(child, "exit")
  })

  it("let a test pass that leaves nothing behind", () => {
    expect(found.get("nothing")).to.deep.equal([])
  })

  const messages = {
    "a connection": /^The test has left behind the connection .*select 'mine'/,
    "a transaction": /^The test has left behind .*the transaction idle in transaction: begin/,
    "a lock": /^The test has left behind .*the advisory lock 0 1 of backend \d+\.$/,
    "a DataSource": /^The test has left behind the connection /,
    "a mode": /^The test has left behind the concurrent mode of alice\.$/,
    "a context": /^The test has left behind the context \{"user":"alice"\}/,
  }
  for (const [kind, message] of Object.entries(messages)) {
    it(`fail a test that leaves ${kind} behind, and name it`, () => {
      const failures = found.get(kind) ?? []
      expect(failures).to.have.length(1)
      expect(failures[0]).to.match(message)
    })
  }
})
