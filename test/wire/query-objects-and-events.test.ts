import { once } from "node:events"
import { expect } from "chai"
import type { Client, Notification } from "pg"
import * as pg from "pg"
import { to as copyTo } from "pg-copy-streams"
import Cursor from "pg-cursor"
import QueryStream from "pg-query-stream"
import type { DataSource } from "typeorm"
import { MaintenanceSetupError, WriteVetoedError } from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"

const as = "alice"

async function onClient<T>(dataSource: DataSource, work: (client: Client) => Promise<T>): Promise<T> {
  const runner = dataSource.createQueryRunner()
  try {
    return await work((await runner.connect()) as Client)
  } finally {
    await runner.release()
  }
}

async function rowsOf(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const rows: unknown[] = []
  for await (const row of stream) rows.push(row)
  return rows
}

describe("An event of a connection that the maintainer's code has opened", () => {
  const database = useDatabase()
  before(() => database.current.sql("create table loot (name text)"))
  const insert = "insert into loot values ('gold')"

  const events: Record<string, (client: Client) => Promise<unknown>> = {
    "a notification": async (client) => {
      await client.query("listen loot")
      const heard = once(client, "notification") as Promise<[Notification]>
      await database.current.sql("notify loot")
      return heard
    },
    "a notice": async (client) => {
      const heard = once(client, "notice")
      await client.query("do $$ begin raise notice 'x'; end $$")
      return heard
    },
  }
  for (const [name, tell] of Object.entries(events)) {
    it(`is not handled as the maintainer: ${name}`, async () => {
      await withMaintenance(database.current.url, { poolSize: 3 }, async ({ dataSource, maintenance }) => {
        await maintenance.enter("concurrent", { as })
        await maintenance.runAs(as, () =>
          Promise.all([1, 2, 3].map(() => dataSource.query("select pg_sleep(0.2)"))),
        )
        await onClient(dataSource, async (client) => {
          const event = name === "a notice" ? "notice" : "notification"
          const written = new Promise((resolve) => {
            client.once(event, () => resolve(errorOf(dataSource.query(insert))))
          })
          await tell(client)
          expect(await written).to.be.instanceOf(WriteVetoedError)
        })
        await maintenance.leave({ as })
      })
      expect(await database.current.sql("select from loot")).to.have.length(0)
    })
  }
})

describe("An event of a query object", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 2 })
  before(() => database.current.sql("create table loot (name text)"))

  /** Calls `told` when the query object emits the event. */
  const tellers: Record<string, (client: Client, told: () => void) => unknown> = {
    "the data of COPY": async (client, told) => {
      const data = client.query(copyTo("copy (select 1) to stdout")).once("data", told)
      await once(data, "end")
    },
    "the end of COPY": async (client, told) => {
      const data = client.query(copyTo("copy (select 1) to stdout")).once("end", told).resume()
      await once(data, "end")
    },
    "a row of a stream": async (client, told) => {
      const rows = client.query(new QueryStream("select 1")).once("data", told)
      await once(rows, "end")
    },
    "the close of a cursor": async (client, told) => {
      const cursor = client.query(new Cursor("select 1"))
      await cursor.read(1)
      await new Promise<void>((closed) => cursor.close(() => closed(told())))
    },
    "the close of a cursor in a transaction": async (client, told) => {
      await client.query("begin")
      const cursor = client.query(new Cursor("select 1"))
      await cursor.read(1)
      await new Promise<void>((closed) => cursor.close(() => closed(told())))
      await client.query("commit")
    },
  }
  for (const [name, tell] of Object.entries(tellers)) {
    it(`is handled as the user who sent the query: ${name}`, async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.enter("concurrent", { as })
      await maintenance.runAs(as, () =>
        onClient(dataSource, async (client) => {
          const written = new Promise((resolve) => {
            const write = () => resolve(dataSource.query("insert into loot values ('gold')"))
            void tell(client, write)
          })
          await written
        }),
      )
      await maintenance.leave({ as })
    })
  }
})

describe("A semicolon", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 2 })
  const text = "select string_agg(x, '; ') as all from unnest(array['a', 'b']) x"
  afterEach(() => installed.current.maintenance.leave({ as, ifHeld: true }))

  const doors: Record<string, (client: Client) => Promise<unknown>> = {
    "a stream": (client) => rowsOf(client.query(new QueryStream(text))),
    "a stream in a transaction": async (client) => {
      await client.query("begin")
      const rows = await rowsOf(client.query(new QueryStream(text)))
      await client.query("commit")
      return rows
    },
    "pg's own Query with values": (client) =>
      new Promise((resolve, reject) => {
        const query = new pg.Query(`${text} where x <> $1`, ["c"])
        query
          .on("error", reject)
          .on("end", (result: { rows?: unknown[] } | undefined) => resolve(result?.rows))
        client.query(query)
      }),
  }
  for (const [name, door] of Object.entries(doors)) {
    it(`within a literal causes no veto of a read: ${name}`, async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.enter("concurrent", { as })
      expect(await onClient(dataSource, door)).to.deep.equal([{ all: "a; b" }])
    })
  }

  it("between two statements lets no second statement pass, even if the query object claims to send only one", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as })
    await database.current.sql("create table loot (name text)")
    const several = "select 1; insert into loot values ('gold'); commit"
    await onClient(dataSource, async (client) => {
      await client.query("begin")
      const stream = client.query(new QueryStream(several))
      stream.submit = (connection) => {
        ;(connection as unknown as { query(sent: string): void }).query(several)
      }
      await errorOf(rowsOf(stream))
    }).catch(() => undefined)
    expect(await database.current.sql("select from loot")).to.have.length(0)
  })
})

describe("The check", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { poolSize: 1 })
  before(() => database.current.sql("create table loot (name text); create sequence runs"))

  it("leaves all cursor names to the application", async () => {
    await onClient(installed.current.dataSource, async (client) => {
      await client.query(`begin; declare "maintenance 0" cursor with hold for select 1 as one; commit`)
      expect((await client.query(`fetch all "maintenance 0"`)).rows).to.deep.equal([{ one: 1 }])
      expect((await client.query("select 2 as two")).rows).to.deep.equal([{ two: 2 }])
      await client.query("close all")
    })
  })

  it("runs a DO only once if it fails because of a missing cursor", async () => {
    const { dataSource } = installed.current
    const text =
      "do $$ declare c refcursor := 'nope'; r record; begin perform nextval('runs'); fetch c into r; end $$"
    expect(await errorOf(dataSource.query(text))).to.have.nested.property("driverError.code", "34000")
    expect(await database.current.sql("select last_value::int as runs from runs")).to.deep.equal([
      { runs: 1 },
    ])
  })

  it("leaves values in text format if the client requests binary ones, as pg does without parameters", async () => {
    const { url } = database.current
    await withMaintenance(url, { extra: { binary: true } }, async ({ dataSource }) => {
      expect(await dataSource.query("select 1.5 as amount, '{}'::jsonb as data")).to.deep.equal([
        { amount: "1.5", data: {} },
      ])
    })
  })

  it("refuses a PREPARE TRANSACTION that it could not check", async () => {
    const { dataSource, maintenance } = installed.current
    const texts = [
      "begin; insert into loot values ('gold'); prepare transaction 'x1'",
      "begin; insert into loot values ('gold'); PREPARE /* a /* b */ */ TRANSACTION 'x1'",
    ]
    for (const text of texts) {
      const refusal = await onClient(dataSource, (client) => errorOf(client.query(text)))
      expect(refusal).to.be.instanceOf(MaintenanceSetupError)
      expect(await database.current.sql("select from pg_prepared_xacts")).to.have.length(0)
    }
    await maintenance.enter("concurrent", { as })
    await maintenance.leave({ as })
  })
})

describe("A query object that pg does not send", () => {
  const database = useDatabase()

  it("reports the reason as in plain pg, and its connection stays usable: in pipeline mode", async () => {
    await withMaintenance(database.current.url, { extra: { pipeline: true } }, ({ dataSource }) =>
      onClient(dataSource, async (client) => {
        const error = await errorOf(rowsOf(client.query(new QueryStream("select 1"))))
        expect(error).to.have.property("message").that.includes("not supported in pipeline mode")
        expect((await client.query("select 2 as two")).rows).to.deep.equal([{ two: 2 }])
      }),
    )
  })
})

describe("A finished query object", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  const text = "select g from generate_series(1, 300) g"

  const uses: Record<string, (client: Client) => Promise<unknown>> = {
    "a cursor read to its end": async (client) => {
      const cursor = client.query(new Cursor(text))
      while ((await cursor.read(100)).length > 0);
    },
    "a cursor closed early": async (client) => {
      const cursor = client.query(new Cursor(text))
      await cursor.read(10)
      await cursor.close()
    },
    "a cursor that fails": (client) => errorOf(client.query(new Cursor("select 1 / 0")).read(1)),
    "a stream": (client) => rowsOf(client.query(new QueryStream(text))),
    "a copy": (client) => rowsOf(client.query(copyTo("copy (select 1) to stdout"))),
  }
  for (const [name, use] of Object.entries(uses)) {
    it(`leaves no listener on its connection: ${name}`, async () => {
      await onClient(installed.current.dataSource, async (client) => {
        const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
        const listeners = () =>
          connection.eventNames().map((event) => `${String(event)} ${connection.listenerCount(event)}`)
        await use(client)
        await client.query("select 1")
        const before = listeners()
        for (let count = 0; count < 5; count++) await use(client)
        await client.query("select 1")
        expect(listeners()).to.deep.equal(before)
      })
    })
  }
})
