import { expect } from "chai"
import { Client } from "pg"
import { ControlConnection, mayHaveRun } from "../src/state/control-connection"
import { useDatabase } from "./support/database"
import { errorOf } from "./support/error-of"
import { withShortenedTimers } from "./support/long-timers"
import { Proxy } from "./support/proxy"

const application = "typeorm-maintenance-mode"

describe("The connection for the state", () => {
  const database = useDatabase()
  const sessions = async () =>
    database.current.sql(
      "select from pg_stat_activity where application_name = $1 and datname = current_database()",
      [application],
    )

  it("sends nothing of what waited for its turn when nobody has answered, and what is asked for later", async () => {
    const proxy = await Proxy.start(database.current.url)
    await withShortenedTimers(async () => {
      const control = new ControlConnection(
        (settings) => new Client({ connectionString: proxy.url, ...settings }) as never,
        { notification: () => undefined, lost: () => undefined },
      )
      await control.query("select 1")
      proxy.silence()
      const [first, ...waiting] = [1, 2, 3].map(() => errorOf(control.query("select 1")))
      expect(await first).to.be.instanceOf(Error)
      for (const error of await Promise.all(waiting)) {
        expect((error as Error).message).to.match(/^The database has not answered what was asked before/)
        expect(mayHaveRun(error)).to.equal(false)
      }
      expect((await control.query("select 4 as four")).rows).to.deep.equal([{ four: 4 }])
      await control.close()
    })
    await proxy.stop()
    while ((await sessions()).length > 0);
  })

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
