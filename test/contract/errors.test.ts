import { expect } from "chai"
import { inspect } from "node:util"
import { type DataSource, QueryFailedError, type QueryRunner, TypeORMError } from "typeorm"
import {
  AccessRefusedError,
  DrainTimeoutError,
  EnteringInterruptedError,
  MaintenanceError,
  MaintenanceInputError,
  MaintenanceSetupError,
  NotMaintainerError,
  OutcomeUnknownError,
  type RefusedChange,
  StateUnavailableError,
  WindowEndedError,
  WriteVetoedError,
} from "../../src"
import { lineBreak, timeText } from "../../src/text"
import { withRunner } from "../doors/door"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Item, Review, Tag } from "../support/entities"
import { anvil, openShop } from "../support/shop"
import { notWaiting } from "../support/window"

/** The part of a pg client that direct users need. */
interface RawClient {
  query(text: string, values?: unknown[]): Promise<unknown>
  query(text: string, callback: (error: unknown) => void): void
}

type Access = (dataSource: DataSource) => Promise<unknown>

const insertion = "insert into item (name) values ('crate')"
const items = (dataSource: DataSource) => dataSource.getRepository(Item)

const onRunner =
  (work: (runner: QueryRunner) => Promise<unknown>): Access =>
  (dataSource) =>
    withRunner(dataSource, work)

const withClient = (work: (client: RawClient) => Promise<unknown>): Access =>
  onRunner(async (runner) => work((await runner.connect()) as RawClient))

const byHand = (work: (runner: QueryRunner) => Promise<unknown>): Access =>
  onRunner(async (runner) => {
    await runner.startTransaction()
    await work(runner)
    await runner.commitTransaction()
  })

/** The same write through every layer from TypeORM down to the pg client. */
const writes: Record<string, Access> = {
  "repository.save": (d) => items(d).save({ name: "crate" }),
  "repository.insert": (d) => items(d).insert({ name: "crate" }),
  "repository.upsert": (d) => items(d).upsert({ name: "crate" }, ["name"]),
  "a query builder": (d) => d.createQueryBuilder().insert().into(Item).values({ name: "crate" }).execute(),
  "dataSource.query": (d) => d.query(insertion),
  "dataSource.query with parameters": (d) => d.query("insert into item (name) values ($1)", ["crate"]),
  "dataSource.transaction": (d) => d.transaction((manager) => manager.insert(Item, { name: "crate" })),
  "dataSource.transaction, SERIALIZABLE": (d) =>
    d.transaction("SERIALIZABLE", (manager) => manager.insert(Item, { name: "crate" })),
  "queryRunner.query": onRunner((runner) => runner.query(insertion)),
  "queryRunner.manager": onRunner((runner) => runner.manager.save(Item, { name: "crate" })),
  "queryRunner.commitTransaction": byHand((runner) => runner.query(insertion)),
  "queryRunner.query of a COMMIT": onRunner(async (runner) => {
    await runner.query("BEGIN")
    await runner.query(insertion)
    await runner.query("COMMIT")
  }),
  "queryRunner.query of DDL": onRunner((runner) => runner.query("create table extra (id int)")),
  "queryRunner.stream": onRunner(async (runner) => {
    for await (const _row of await runner.stream(`${insertion} returning id`)) expect.fail("a row came")
  }),
  "the raw client": withClient((client) => client.query(insertion)),
  "the raw client with parameters": withClient((client) =>
    client.query("insert into item (name) values ($1)", ["crate"]),
  ),
  "the raw client with a callback": withClient(
    (client) =>
      new Promise((resolve, reject) =>
        client.query(insertion, (error) => (error ? reject(error) : resolve(undefined))),
      ),
  ),
  "the raw client's COMMIT": withClient(async (client) => {
    await client.query("BEGIN")
    await client.query(insertion)
    await client.query("COMMIT")
  }),
}

/** The same read through every layer. Exclusive mode refuses all of them. */
const reads: Record<string, Access> = {
  "repository.find": (d) => items(d).find(),
  "a query builder": (d) => items(d).createQueryBuilder("item").getMany(),
  "dataSource.query": (d) => d.query("select 1"),
  "dataSource.transaction": (d) => d.transaction((manager) => manager.query("select 1")),
  "queryRunner.connect": onRunner((runner) => runner.connect()),
  "queryRunner.startTransaction": onRunner((runner) => runner.startTransaction()),
  "queryRunner.query": onRunner((runner) => runner.query("select 1")),
  "queryRunner.stream": onRunner((runner) => runner.stream("select 1")),
  "queryRunner.hasTable": onRunner((runner) => runner.hasTable("item")),
}

/** Operations of the ORM, with the changes that their veto names. */
const changing: Record<string, { work: Access; changes: RefusedChange[]; says?: string }> = {
  "save of a new entity": {
    work: (d) => items(d).save({ name: "crate" }),
    changes: [{ entity: "Item", operation: "insert" }],
    says: "Write vetoed (insert Item): ",
  },
  "save of a loaded entity": {
    work: async (d) => items(d).save(Object.assign(await anvil(d), { stock: 6 })),
    changes: [{ entity: "Item", operation: "update" }],
    says: "Write vetoed (update Item): ",
  },
  remove: {
    work: async (d) =>
      d.getRepository(Review).remove(await d.getRepository(Review).findOneByOrFail({ id: 1 })),
    changes: [{ entity: "Review", operation: "remove" }],
    says: "Write vetoed (remove Review): ",
  },
  "remove with the rows of a many-to-many relation": {
    work: async (d) => items(d).remove(await items(d).findOneByOrFail({ name: "anvil" })),
    changes: [
      { entity: "Item", operation: "remove" },
      { entity: "item_tags_tag", operation: "remove" },
    ],
  },
  softRemove: {
    work: async (d) => items(d).softRemove(await items(d).findOneByOrFail({ name: "anvil" })),
    changes: [{ entity: "Item", operation: "soft-remove" }],
    says: "Write vetoed (soft-remove Item): ",
  },
  recover: {
    work: async (d) =>
      items(d).recover(await items(d).findOneOrFail({ where: { name: "broom" }, withDeleted: true })),
    changes: [{ entity: "Item", operation: "recover" }],
    says: "Write vetoed (recover Item): ",
  },
  "repository.insert": {
    work: (d) => items(d).insert({ name: "crate" }),
    changes: [{ entity: "Item", operation: "insert" }],
  },
  "repository.update": {
    work: (d) => items(d).update({ name: "anvil" }, { stock: 6 }),
    changes: [{ entity: "Item", operation: "update" }],
  },
  "repository.delete": {
    work: (d) => items(d).delete({ name: "anvil" }),
    changes: [{ entity: "Item", operation: "remove" }],
  },
  "repository.softDelete": {
    work: (d) => items(d).softDelete({ name: "anvil" }),
    changes: [{ entity: "Item", operation: "soft-remove" }],
  },
  "repository.restore": {
    work: (d) => items(d).restore({ name: "broom" }),
    changes: [{ entity: "Item", operation: "recover" }],
  },
  "an insert query builder": {
    work: (d) => d.createQueryBuilder().insert().into(Tag).values({ label: "new" }).execute(),
    changes: [{ entity: "Tag", operation: "insert" }],
  },
  "a cascade": {
    work: async (d) => items(d).save(Object.assign(await anvil(d), { stock: 6, reviews: [{ text: "too" }] })),
    changes: [
      { entity: "Review", operation: "insert" },
      { entity: "Item", operation: "update" },
      { entity: "Review", operation: "update" },
    ],
  },
  "a transaction of many changes": {
    work: (d) =>
      d.transaction(async (manager) => {
        await manager.save(Tag, { label: "new" })
        await manager.update(Item, { name: "anvil" }, { stock: 6 })
        await manager.update(Item, { name: "broom" }, { stock: 6 })
        await manager.query(insertion)
        await manager.delete(Review, { id: 1 })
      }),
    changes: [
      { entity: "Tag", operation: "insert" },
      { entity: "Item", operation: "update" },
      { entity: "Review", operation: "remove" },
    ],
    says: "Write vetoed (insert Tag, update Item, remove Review): ",
  },
  "a transaction by hand": {
    work: byHand((runner) => runner.manager.insert(Item, { name: "crate" })),
    changes: [{ entity: "Item", operation: "insert" }],
  },
  "a nested transaction": {
    work: (d) =>
      d.transaction(async (outer) => {
        await outer.insert(Item, { name: "crate" })
        await outer.transaction((inner) => inner.insert(Tag, { label: "new" }))
      }),
    changes: [
      { entity: "Item", operation: "insert" },
      { entity: "Tag", operation: "insert" },
    ],
  },
  "a transaction around a nested one that was rolled back": {
    work: (d) =>
      d.transaction(async (outer) => {
        await outer.insert(Item, { name: "crate" })
        await outer
          .transaction(async (inner) => {
            await inner.insert(Tag, { label: "new" })
            throw new RangeError("given up")
          })
          .catch(() => undefined)
      }),
    changes: [{ entity: "Item", operation: "insert" }],
  },
  "a second transaction on one query runner": {
    work: onRunner(async (runner) => {
      await runner.startTransaction()
      await runner.manager.insert(Tag, { label: "new" })
      await runner.rollbackTransaction()
      await runner.startTransaction()
      await runner.manager.insert(Item, { name: "crate" })
      await runner.commitTransaction()
    }),
    changes: [{ entity: "Item", operation: "insert" }],
  },
  "plain SQL": { work: (d) => d.query(insertion), changes: [], says: "Write vetoed: " },
  "plain SQL after a refused change on one query runner": {
    work: onRunner(async (runner) => {
      await runner.manager.insert(Tag, { label: "new" }).catch(() => undefined)
      await runner.query(insertion)
    }),
    changes: [],
  },
  "plain SQL on a connection that was used for changes before": {
    work: async (d) => {
      await items(d)
        .save({ name: "crate" })
        .catch(() => undefined)
      return d.query(insertion)
    },
    changes: [],
  },
}

describe("Errors", () => {
  const facts = {
    mode: "concurrent" as const,
    maintainer: "alice",
    reason: "reindex",
    since: new Date("2026-01-31T02:00:00Z"),
    cause: new Error("underneath"),
  }
  const classes = {
    MAINTENANCE_WRITE_VETOED: { Class: WriteVetoedError, name: "WriteVetoedError" },
    MAINTENANCE_ACCESS_REFUSED: { Class: AccessRefusedError, name: "AccessRefusedError" },
    MAINTENANCE_NOT_MAINTAINER: { Class: NotMaintainerError, name: "NotMaintainerError" },
    MAINTENANCE_WINDOW_ENDED: { Class: WindowEndedError, name: "WindowEndedError" },
    MAINTENANCE_DRAIN_TIMEOUT: { Class: DrainTimeoutError, name: "DrainTimeoutError" },
    MAINTENANCE_OUTCOME_UNKNOWN: { Class: OutcomeUnknownError, name: "OutcomeUnknownError" },
    MAINTENANCE_ENTERING_INTERRUPTED: { Class: EnteringInterruptedError, name: "EnteringInterruptedError" },
    MAINTENANCE_STATE_UNAVAILABLE: { Class: StateUnavailableError, name: "StateUnavailableError" },
    MAINTENANCE_SETUP: { Class: MaintenanceSetupError, name: "MaintenanceSetupError" },
    MAINTENANCE_INPUT: { Class: MaintenanceInputError, name: "MaintenanceInputError" },
  }

  for (const [code, { Class, name }] of Object.entries(classes)) {
    it(`${name} is a MaintenanceError and a TypeORMError, with its code and its facts`, () => {
      const error = new Class("a message", facts)
      expect(error).to.be.instanceOf(MaintenanceError).and.instanceOf(TypeORMError).and.instanceOf(Error)
      expect(error).not.to.be.instanceOf(QueryFailedError)
      expect(error).to.include({ name, code, message: "a message", ...facts })
      expect(String(error)).to.equal(`${name}: a message`)
    })

    it(`${name} escapes control characters in its message, not in its facts`, () => {
      const reason = "prices\r\n\t\u001b[2J\u009b\u202e"
      const error = new Class(`Stopped (${reason}).${lineBreak}Retry.`, { reason })
      const message = String.raw`Stopped (prices\r\n\t\u001b[2J\u009b\u202e).` + "\nRetry."
      expect(error).to.include({ message, reason })
      expect(String(error)).to.equal(`${name}: ${message}`)
      expect(error.stack).to.include(message)
    })

    it(`${name} needs no facts`, () => {
      const error = new Class("a message")
      expect(error).to.include({ code, message: "a message" })
      for (const fact of ["mode", "maintainer", "reason", "since", "cause"] as const) {
        expect(error[fact], fact).to.equal(undefined)
      }
    })
  }

  it("have names that survive minification", () => {
    for (const { Class, name } of Object.values(classes)) {
      const Renamed = { Jg: class extends Class {} }.Jg
      expect(new Renamed("a message")).to.include({ name })
    }
  })

  const refusals = { WriteVetoedError, AccessRefusedError }
  const retryAfterMs = 1500
  const serverError = Object.assign(new Error("raised"), {
    code: "MM001",
    where: "PL/pgSQL",
    routine: "exec",
  })

  for (const [name, Refusal] of Object.entries(refusals)) {
    it(`${name} has the properties that frameworks read`, () => {
      expect(new Refusal("a message", { retryAfterMs })).to.deep.include({
        status: 503,
        statusCode: 503,
        expose: false,
        headers: { "retry-after": "2" },
      })
      expect(new Refusal("a message").headers).to.equal(undefined)
      expect(new Refusal("a message", { retryAfterMs: 0 }).headers).to.deep.equal({ "retry-after": "1" })
    })

    it(`${name} serializes to JSON as the known facts of the window`, () => {
      const { since, ...window } = facts
      const error = new Refusal("a message", { ...facts, cause: serverError })
      const changes = error instanceof WriteVetoedError ? { changes: [] } : {}
      const { cause: _, ...known } = { ...window, since: since.toISOString() }
      expect(JSON.parse(JSON.stringify(error))).to.deep.equal({
        name,
        message: "a message",
        code: error.code,
        ...known,
        ...changes,
      })
      expect(Object.keys(new Refusal("a message")).sort()).to.deep.equal(
        ["code", ...Object.keys(changes)].sort(),
      )
    })

    it(`${name} is printed in a few lines with its details, its callers and only the known facts`, () => {
      const detailedMessage = `a message${lineBreak}by alice`
      const error = (function aCaller() {
        return new Refusal("a message", {
          ...facts,
          reason: "in\ntwo lines",
          cause: serverError,
          detailedMessage,
        })
      })()
      for (const printed of [
        inspect(error),
        inspect({ error }, { depth: 5 }),
        inspect(new Error("x", { cause: error })),
      ]) {
        expect(printed).to.include(`${name}: a message by alice`).and.include("test/contract/errors.test.ts")
        expect(printed).to.include("maintainer: 'alice'").and.include("in\\ntwo lines")
        expect(printed).not.to.match(/undefined|routine|where|PL\/pgSQL/)
      }
      expect(inspect(error).split("\n")).to.have.length.below(10)
    })

    it(`${name} includes its details in its string, but not in its message or stack`, () => {
      const error = new Refusal("a message", { ...facts, detailedMessage: "a message by alice" })
      expect(String(error)).to.equal(`${name}: a message by alice`)
      expect(`${error.message} ${error.stack}`).not.to.include("alice")
      expect(error.stack).to.match(new RegExp(`^${name}: a message\n +at `))
    })
  }

  it("WriteVetoedError names changes, by default none", () => {
    const changes = [{ entity: "Item", operation: "insert" }] as const
    expect(new WriteVetoedError("a message", { changes }).changes).to.deep.equal(changes)
    expect(new WriteVetoedError("a message").changes).to.deep.equal([])
  })

  describe("of a live plugin", () => {
    const database = useDatabase()
    const installed = useMaintenance(database)
    before(() => openShop(database.current))

    /**
     * Runs work as another user while alice holds a window. Returns its error, and the start of the window.
     */
    async function refused(mode: "concurrent" | "exclusive", work: Access, reason?: string) {
      const { dataSource, maintenance } = installed.current
      const { since } = await maintenance.enter(mode, { as: "alice", reason })
      try {
        const error = await thrownBy(() => maintenance.runAs("bob", () => work(dataSource)))
        return { error, since }
      } finally {
        await maintenance.leave({ as: "alice" })
      }
    }

    for (const [layer, write] of Object.entries(writes)) {
      it(`a veto is a WriteVetoedError with all facts: ${layer}`, async () => {
        const { error, since } = await refused("concurrent", write, "rebuild the catalog")
        expectExactly(error, WriteVetoedError)
        const detailed = /^Write vetoed( \([^)]+\))?: the system has been in concurrent maintenance /
        expect(error.detailedMessage).to.match(detailed)
        expect(error.message).to.equal(
          `Write vetoed: the system has been in concurrent maintenance since ${timeText(since as Date)}; other users may only read. ` +
            "Nothing was stored. Try again when the maintenance is over.",
        )
        expect(error.detailedMessage).to.include(
          ` by alice (rebuild the catalog) since ${timeText(since as Date)}; other users may only read.`,
        )
        expect(error).to.deep.include({
          name: "WriteVetoedError",
          code: "MAINTENANCE_WRITE_VETOED",
          mode: "concurrent",
          maintainer: "alice",
          reason: "rebuild the catalog",
          since,
        })
        expect(error.cause).to.be.instanceOf(Error).and.include({ code: "MM001" })
        expect(await items(installed.current.dataSource).countBy({ name: "crate" })).to.equal(0)
      })

      it(`a refused write is an AccessRefusedError with all facts: ${layer}`, async () => {
        const { error, since } = await refused("exclusive", write, "rebuild the catalog")
        expectRefusal(error, since)
      })
    }

    for (const [layer, read] of Object.entries(reads)) {
      it(`a refused read is an AccessRefusedError with all facts: ${layer}`, async () => {
        const { error, since } = await refused("exclusive", read, "rebuild the catalog")
        expectRefusal(error, since)
      })
    }

    it("a refusal without a reason shows none", async () => {
      const { error, since } = await refused("concurrent", (d) => d.query(insertion))
      expectExactly(error, WriteVetoedError)
      expect(error.reason).to.equal(undefined)
      expect(error.detailedMessage).to.include(
        ` by alice since ${timeText(since as Date)}; other users may only read.`,
      )
    })

    it("a refusal on a connection from before the window is an AccessRefusedError", async () => {
      const { dataSource, maintenance } = installed.current
      await withClient(async (client) => {
        const entered = await maintenance.enter("exclusive", { as: "alice", reason: "rebuild the catalog" })
        const error = await thrownBy(() => client.query("select 1"))
        await maintenance.leave({ as: "alice" })
        expectRefusal(error, entered.since)
      })(dataSource)
    })

    it("a refusal at the COMMIT of a transaction from before the window is an AccessRefusedError", async () => {
      const { dataSource, maintenance } = installed.current
      let since: Date | undefined
      const error = await thrownBy(() =>
        byHand(async (runner) => {
          await runner.query(insertion)
          const options = { as: "alice", reason: "rebuild the catalog", drain: notWaiting }
          since = (await maintenance.enter("exclusive", options)).since
        })(dataSource),
      )
      await maintenance.leave({ as: "alice" })
      expectRefusal(error, since)
      expect(await items(dataSource).countBy({ name: "crate" })).to.equal(0)
    })

    for (const [name, { work, changes, says }] of Object.entries(changing)) {
      it(`a veto of ${name} names its changes: ${changes.map((change) => Object.values(change).join(" ")).join(", ") || "none"}`, async () => {
        const { error } = await refused("concurrent", work)
        expectExactly(error, WriteVetoedError)
        expect(error.changes).to.deep.equal(changes)
        if (says) expect(error.detailedMessage.startsWith(says), error.detailedMessage).to.equal(true)
      })
    }

    const duplicates: Record<string, Access> = {
      "repository.save": (d) => items(d).save({ name: "anvil" }),
      "repository.insert": (d) => items(d).insert({ name: "anvil" }),
      "dataSource.query": (d) => d.query("insert into item (name) values ('anvil')"),
      "dataSource.transaction": (d) => d.transaction((manager) => manager.insert(Item, { name: "anvil" })),
      "queryRunner.query": onRunner((runner) => runner.query("insert into item (name) values ('anvil')")),
    }
    for (const [layer, duplicate] of Object.entries(duplicates)) {
      it(`a unique violation remains a QueryFailedError: ${layer}`, async () => {
        const { dataSource } = installed.current
        expectViolation(await thrownBy(() => duplicate(dataSource)))
      })

      it(`a unique violation of the maintainer remains a QueryFailedError: ${layer}`, async () => {
        const { dataSource, maintenance } = installed.current
        await maintenance.enter("exclusive", { as: "alice" })
        const error = await thrownBy(() => maintenance.runAs("alice", () => duplicate(dataSource)))
        await maintenance.leave({ as: "alice" })
        expectViolation(error)
      })
    }

    it("a unique violation on the raw client remains pg's own error", async () => {
      const { dataSource } = installed.current
      const violate = withClient((client) => client.query("insert into item (name) values ('anvil')"))
      const error = await thrownBy(() => violate(dataSource))
      expect(error).to.include({ code: "23505", severity: "ERROR", table: "item" })
      expect(error).not.to.be.instanceOf(TypeORMError)
    })

    it("a syntax error remains a QueryFailedError with its query and parameters", async () => {
      const { dataSource } = installed.current
      const error = await thrownBy(() => dataSource.query("selec $1", [1]))
      expect(error).to.be.instanceOf(QueryFailedError)
      expect(error).to.deep.include({ query: "selec $1", parameters: [1] })
      expect((error as QueryFailedError).driverError).to.include({ code: "42601" })
    })
  })
})

/** The error that a call throws or rejects with. */
async function thrownBy(work: () => unknown): Promise<unknown> {
  try {
    await work()
  } catch (error) {
    return error
  }
  return expect.fail("nothing was thrown")
}

function expectExactly<E extends Error>(
  error: unknown,
  Class: new (message: string) => E,
): asserts error is E {
  expect(error).to.be.instanceOf(Class)
  expect((error as Error).constructor).to.equal(Class)
  expect(error).not.to.be.instanceOf(QueryFailedError)
}

function expectRefusal(error: unknown, since: Date | undefined): void {
  expectExactly(error, AccessRefusedError)
  expect(error.message).to.equal(
    `Access refused: the system has been in exclusive maintenance since ${timeText(since as Date)}; ` +
      "only the maintainer gets a connection. Try again when the maintenance is over.",
  )
  expect(error.detailedMessage).to.equal(
    `Access refused: the system has been in exclusive maintenance by alice (rebuild the catalog) ` +
      `since ${timeText(since as Date)}; only the maintainer gets a connection. Try again when the maintenance is over.`,
  )
  expect(error).to.deep.include({
    name: "AccessRefusedError",
    code: "MAINTENANCE_ACCESS_REFUSED",
    mode: "exclusive",
    maintainer: "alice",
    reason: "rebuild the catalog",
    since,
  })
}

function expectViolation(error: unknown): void {
  expect(error).to.be.instanceOf(QueryFailedError)
  expect(error).not.to.be.instanceOf(MaintenanceError)
  expect((error as QueryFailedError).driverError).to.include({ code: "23505", table: "item" })
}
