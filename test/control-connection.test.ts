import { expect } from "chai"
import { Client } from "pg"
import { ControlConnection } from "../src/state/control-connection"
import { useDatabase } from "./support/database"
import { Proxy } from "./support/proxy"

const application = "typeorm-maintenance-mode"

describe("The connection for the state", () => {
  const database = useDatabase()
  const sessions = async () =>
    database.current.sql(
      "select from pg_stat_activity where application_name = $1 and datname = current_database()",
      [application],
    )

  it("is one, though it is given up while it is being opened", async () => {
    const proxy = await Proxy.start(database.current.url)
    let lost = 0
    const control = new ControlConnection(
      (settings) => new Client({ connectionString: proxy.url, ...settings }) as never,
      { notification: () => undefined, lost: () => void lost++ },
    )
    const hold = proxy.holdAt(1, "message")
    const first = control.query("select 1 as one")
    await hold.reached
    control.drop()
    expect(lost).to.equal(1)
    const second = control.query("select 2 as two")
    hold.pass()
    expect((await first).rows).to.deep.equal([{ one: 1 }])
    expect((await second).rows).to.deep.equal([{ two: 2 }])
    expect(await sessions()).to.have.length(1)
    await control.close()
    while ((await sessions()).length > 0);
    await proxy.stop()
  })
})
