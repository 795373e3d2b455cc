import { expect } from "chai"
import * as pg from "pg"
import Cursor from "pg-cursor"
import type { DataSource } from "typeorm"
import { MaintenanceSetupError, WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"
import { nothingStray, stray } from "../support/pool"
import { endWindowAfterEach } from "../support/window"
import { insertSql, onRawClient, rowsOf, type Site, withRunner } from "./door"

type Query = Record<string, unknown> & { text?: string; callback?: (...args: unknown[]) => void }
type Send = (query: object, values?: unknown, callback?: unknown) => unknown

/** A patch of pg's client that passes on something other than the original query object. */
interface Patch {
  readonly hand: (query: Query, send: Send) => unknown
  /** Whether statements run. By default they are refused and never sent. */
  readonly works?: true
  /** Whether the patch affects a query object. It affects all by default. */
  readonly isFor?: (query: Query) => boolean
}

const comment = " /*traceparent='00-1-2-01'*/"
/** Even without the plugin, pg allows only one text per name. */
const isUnnamed = ({ name }: Query) => name === undefined
const commented = (query: Query) => (query.text === undefined ? {} : { text: query.text + comment })

const patches: Record<string, Patch> = {
  "the object itself": { hand: (query, send) => send(query), works: true },
  "a copy of its own properties": { hand: (query, send) => send({ ...query }), works: true },
  "a copy with a comment": {
    hand: (query, send) => send({ ...query, ...commented(query) }),
    works: true,
    isFor: isUnnamed,
  },
  "a copy of a copy": { hand: (query, send) => send({ ...Object.assign({}, query) }), works: true },
  "a copy with a callback of its own": {
    hand: (query, send) => {
      const { callback } = query
      return send({ ...query, ...(callback ? { callback: (...all: unknown[]) => callback(...all) } : {}) })
    },
    works: true,
  },
  "an object that inherits from it": { hand: (query, send) => send(Object.create(query)), works: true },
  "a proxy": { hand: (query, send) => send(new Proxy(query, {})), works: true },
  "the object, with a comment": {
    hand: (query, send) => {
      if (query.text !== undefined) query.text += comment
      return send(query)
    },
    works: true,
    isFor: isUnnamed,
  },
  "the object, after a delay": {
    hand: (query, send) => void setImmediate(() => send(query)),
    works: true,
    // A query object of the caller must be passed on at once.
    isFor: ({ callback }) => callback !== undefined,
  },
  "the object, after a SET": {
    hand: (query, send) => {
      void send({ text: "set application_name = 'traced'" })
      return send(query)
    },
    works: true,
  },
  "a new query with its text": {
    hand: ({ text, values, callback }, send) => send({ text, values, callback }),
  },
  "a new query with its text that returns a promise": {
    hand: ({ text, values }, send) => send({ text, values }),
  },
  "its text alone": {
    hand: ({ text, values, callback }, send) => send(text as never, values, callback),
    isFor: ({ text }) => text !== undefined,
  },
  "a new query with its text, every second time": {
    hand: (() => {
      let isEven = false
      return ({ ...query }: Query, send: Send) => {
        isEven = !isEven
        return send(isEven ? { text: query.text, values: query["values"], callback: query.callback } : query)
      }
    })(),
  },
  "a copy with another text": { hand: (query, send) => send({ ...query, text: "select 7 as seven" }) },
  "a copy with a second statement": {
    hand: (query, send) => send({ ...query, text: `${query.text} /* ; */; ${insertSql}` }),
  },
  "the object, with another text": {
    hand: (query, send) => {
      query.text = "select 7 as seven"
      return send(query)
    },
  },
  "the object, and another statement": {
    hand: (query, send) => {
      void (send({ text: insertSql }) as Promise<unknown>).catch(() => undefined)
      return send(query)
    },
  },
  "no query, but a result": {
    hand: ({ callback }) => callback?.(null, { rows: [], command: "INSERT", rowCount: 1 }),
    isFor: ({ callback }) => callback !== undefined,
  },
}

const none = {} as Site

/** Ways to write. */
const ways: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
  "a statement": (d) => d.query(insertSql),
  "a statement with values": (d) => d.query("insert into item (name) values ($1)", ["crate"]),
  "a statement with a name": onRawClient((client) => client.query({ name: "add", text: insertSql })) as never,
  "a transaction": (d) => d.transaction((manager) => manager.query(insertSql)),
  "a CALL": (d) => d.query("call write_only('x')"),
  "several statements": (d) => d.query(`select 1; ${insertSql}`),
  "a stream": (d) =>
    withRunner(d, async (runner) => rowsOf(await runner.stream(`${insertSql} returning id`))),
  "a cursor": (d) =>
    onRawClient(async (client) => {
      const cursor = client.query(new Cursor(`${insertSql} returning id`))
      return cursor.read(5)
    })(d, none),
  "pg's own Query": (d) =>
    onRawClient(
      (client) =>
        new Promise((resolve, reject) => {
          client.query(new pg.Query(insertSql).on("end", resolve).on("error", reject) as never)
        }),
    )(d, none),
}

describe("A patch of pg's client that passes on", () => {
  const database = useDatabase()
  const { query: original } = pg.Client.prototype
  let patch: Patch | undefined
  before(() => {
    // Only the clients of the application are affected. The watch sends texts.
    pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
      const send: Send = (...all) => (original as (...given: unknown[]) => unknown).apply(this, all)
      const [query] = args as [Query]
      const isSubmittable = typeof query === "object" && typeof query["submit"] === "function"
      if (!patch || !isSubmittable || patch.isFor?.(query) === false) return send(...(args as [object]))
      return patch.hand(query, send)
    } as never
  })
  after(() => {
    pg.Client.prototype.query = original
  })
  const installed = useMaintenance(database)
  before(() =>
    database.current.sql(`create table item (id serial, name text);
      create procedure write_only(note text) language sql as 'insert into item (name) values (note)'`),
  )
  endWindowAfterEach(installed)

  const stored = async () => (await database.current.sql("select 1 from item")).length
  /** Runs with pg's client patched. Resolves with the error, if any. */
  const patched = async (by: Patch, work: () => Promise<unknown>) => {
    patch = by
    return errorOf(work()).finally(() => {
      patch = undefined
    })
  }
  /** The outcome of each way to write, and the number of rows stored. */
  const comesOf = async (by: Patch) => {
    const { dataSource } = installed.current
    const results: [way: string, error: unknown, rows: number][] = []
    for (const [way, run] of Object.entries(ways)) {
      const error = await patched(by, () => run(dataSource))
      results.push([way, error, await stored()])
      await database.current.sql("truncate item")
    }
    expect(await stray(dataSource, database.current)).to.deep.equal(nothingStray)
    return results
  }

  for (const [what, by] of Object.entries(patches))
    describe(`${what},`, () => {
      it(`lets a write ${by.works ? "commit" : "commit unchanged or be refused"}`, async () => {
        for (const [way, error, rows] of await comesOf(by)) {
          if (by.works) expect(error, way).to.equal(undefined)
          else if (error !== undefined) expect(error, way).to.be.instanceOf(MaintenanceSetupError)
          expect(rows, way).to.equal(error === undefined ? 1 : 0)
        }
      })

      it(`lets no write of other users commit in concurrent mode: it is ${by.works ? "vetoed" : "refused"}`, async () => {
        const { maintenance } = installed.current
        await maintenance.enter("concurrent", { as: "alice" })
        const results = await comesOf(by)
        await maintenance.leave({ as: "alice" })
        for (const [way, error, rows] of results) {
          if (by.works) expect(error, way).to.be.instanceOf(WriteVetoedError)
          else expect(error, way).to.satisfy(isRefusal)
          expect(rows, way).to.equal(0)
        }
      })

      it("stores nothing of a transaction that is rolled back", async () => {
        const { dataSource } = installed.current
        await patched(by, () =>
          dataSource.transaction(async (manager) => {
            await manager.query(insertSql)
            throw new Error("give up")
          }),
        )
        expect(await stored()).to.equal(0)
      })
    })
})

function isRefusal(error: unknown): boolean {
  return error instanceof MaintenanceSetupError || error instanceof WriteVetoedError
}
