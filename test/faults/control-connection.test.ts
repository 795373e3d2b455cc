import { expect } from "chai"
import { Client, type ClientConfig, defaults } from "pg"
import { StateUnavailableError } from "../../src"
import { ControlConnection, mayHaveRun } from "../../src/state/control-connection"
import type { Priority } from "../../src/state/control-queue"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { withShortenedTimers } from "../support/long-timers"
import { Proxy } from "../support/proxy"
import { until } from "../support/until"

const application = "typeorm-maintenance-mode"

describe("The control connection", () => {
  const database = useDatabase()
  const sessions = async () =>
    database.current.sql(
      "select from pg_stat_activity where application_name = $1 and datname = current_database()",
      [application],
    )

  it("sends none of the queued queries after a query without an answer, but sends later ones", async () => {
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
        expect(error).to.be.instanceOf(StateUnavailableError)
        expect((error as Error).message).to.match(/the database did not answer an earlier request/)
        expect(mayHaveRun(error)).to.equal(false)
      }
      expect((await control.query("select 4 as four")).rows).to.deep.equal([{ four: 4 }])
      await control.close()
    })
    await proxy.stop()
    await until(async () => (await sessions()).length === 0)
  })

  it('runs queries with priority "first" before all queued ones, and those with "last" after them', async () => {
    const control = new ControlConnection(
      (settings) => new Client({ connectionString: database.current.url, ...settings }) as never,
      { notification: () => undefined, lost: () => undefined },
    )
    const order: string[] = []
    const run = async (name: string, priority?: Priority) => {
      await control.query("select 1", [], { priority })
      order.push(name)
    }
    await Promise.all([
      run("running"),
      run("last", "last"),
      run("usual"),
      run("first", "first"),
      run("usual again"),
      run("first again", "first"),
    ])
    expect(order).to.deep.equal(["running", "first", "first again", "usual", "usual again", "last"])
    await control.close()
    await until(async () => (await sessions()).length === 0)
  })

  it("stays single if it is abandoned while it opens", async () => {
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
    await until(async () => (await sessions()).length === 0)
    await proxy.stop()
  })

  describe("regardless of the application's settings", () => {
    /** Runs with a control connection whose pool has these settings, and with its client. */
    const withControl = async (
      own: ClientConfig | object,
      url: string,
      work: (control: ControlConnection, client: () => Client) => Promise<void>,
    ) => {
      let client: Client | undefined
      const control = new ControlConnection(
        (settings) => (client = new Client({ connectionString: url, ...own, ...settings })) as never,
        { notification: () => undefined, lost: () => undefined },
      )
      try {
        await work(control, () => client as Client)
      } finally {
        await control.close()
      }
    }
    const settings: Record<string, object> = {
      query_timeout: { query_timeout: 60 },
      statement_timeout: { statement_timeout: 60 },
      "statement_timeout in options": { options: "-c statement_timeout=60" },
      pipeline: { pipeline: true },
      "query_timeout in the URL": { inUrl: "query_timeout=60" },
      "statement_timeout in the URL": { inUrl: "statement_timeout=60" },
    }

    for (const [name, { inUrl = "", ...own }] of Object.entries<{ inUrl?: string }>(settings)) {
      it(`waits for an answer despite ${name}`, () =>
        withControl(own, `${database.current.url}?${inUrl}`, async (control) => {
          const { rows } = await control.query("select pg_sleep(0.2)::text is not null as has_slept")
          expect(rows).to.deep.equal([{ has_slept: true }])
        }))
    }

    it("waits for an answer despite pg.defaults", async () => {
      const before = { ...defaults }
      Object.assign(defaults, { query_timeout: 60, statement_timeout: 60, binary: true })
      try {
        await withControl({}, database.current.url, async (control) => {
          const { rows } = await control.query("select 7 as seven, true as yes from pg_sleep(0.2)")
          expect(rows).to.deep.equal([{ seven: 7, yes: true }])
        })
      } finally {
        const { query_timeout, statement_timeout, binary } = before
        Object.assign(defaults, { query_timeout, statement_timeout, binary })
      }
    })

    it("has its own settings, whatever `options`, the URL and the role set", async () => {
      const shown = {
        search_path: "pg_catalog, pg_temp",
        datestyle: "ISO, MDY",
        timezone: "UTC",
        extra_float_digits: "1",
        standard_conforming_strings: "on",
        default_transaction_isolation: "read committed",
        default_transaction_read_only: "off",
        lock_timeout: "2s",
        statement_timeout: "0",
        idle_in_transaction_session_timeout: "0",
        idle_session_timeout: "0",
      }
      await database.current.sql("create role hasty login")
      await database.current.sql(
        `alter role hasty set idle_session_timeout = 60; alter role hasty set extra_float_digits = -15;
         alter role hasty set timezone = 'Asia/Kolkata'; alter role hasty set standard_conforming_strings = off`,
      )
      const url = new URL(database.current.url)
      url.username = "hasty"
      url.searchParams.set("application_name", "shop")
      url.searchParams.set(
        "options",
        "-c search_path=public -c datestyle=german -c default_transaction_read_only=on -c lock_timeout=1 " +
          "-c default_transaction_isolation=serializable -c idle_in_transaction_session_timeout=1",
      )
      await withControl({}, url.toString(), async (control) => {
        const { rows } = await control.query(
          "select name, current_setting(name) as value from unnest($1::text[]) name",
          [Object.keys(shown)],
        )
        expect(Object.fromEntries(rows.map(({ name, value }) => [name, value]))).to.deep.equal(shown)
        expect(
          (await control.query("select current_setting('application_name') as name")).rows,
        ).to.deep.equal([{ name: application }])
      })
      await until(async () => (await sessions()).length === 0)
      await database.current.sql("drop role hasty")
    })

    it("reads values with its own parsers", async () => {
      const types = { getTypeParser: () => () => "misread" }
      await withControl({ types, binary: true }, database.current.url, async (control) => {
        const text =
          "select true as yes, 1::smallint as a, 2 as b, 3::bigint as c, 1.5::float8 as d, 'x' as e, null::int as f"
        const { rows } = await control.query(text)
        expect(rows).to.deep.equal([{ yes: true, a: 1, b: 2, c: 3, d: 1.5, e: "x", f: null }])
      })
    })
  })
})
