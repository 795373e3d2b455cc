import { expect } from "chai"
import {
  Column,
  type DataSource,
  DeleteDateColumn,
  Entity,
  type EntityManager,
  ManyToOne,
  PrimaryGeneratedColumn,
} from "typeorm"
import { type Maintenance, MaintenanceInputError, WriteVetoedError } from "../../src"
import { useMaintenance, withMaintenance, withPlainDataSource } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { until } from "../support/until"

/** How often the transformer of the column was called, to the database and from it. */
const transformed = { to: 0, from: 0 }

@Entity()
class Priced {
  @PrimaryGeneratedColumn()
  id!: number

  @Column({
    type: "integer",
    transformer: {
      to: (price: number) => (transformed.to++, price),
      from: (price: number) => (transformed.from++, price),
    },
  })
  price!: number

  @DeleteDateColumn()
  deletedAt!: Date | null
}

@Entity()
class Note {
  @PrimaryGeneratedColumn()
  id!: number

  @ManyToOne(() => Priced, { cascade: true })
  priced!: Priced
}

const entities = [Priced, Note]
const repository = (dataSource: DataSource) => dataSource.getRepository(Priced)

/** No update is one to the same price. */
let prices = 0

/** Changes each kind of row once, by the persistence layer and by query builders. */
const changes: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
  "insert by save": (d) => repository(d).save({ price: 1 }),
  "insert of several by save": (d) => repository(d).save([{ price: 1 }, { price: 2 }, { price: 3 }]),
  "update by save": (d) => repository(d).save({ id: 1, price: 1000 + ++prices }),
  "soft-remove": async (d) => repository(d).softRemove(await repository(d).findOneByOrFail({ id: 2 })),
  recover: async (d) =>
    repository(d).recover(await repository(d).findOneOrFail({ where: { id: 2 }, withDeleted: true })),
  remove: async (d) => repository(d).remove(await repository(d).findOneByOrFail({ id: 3 })),
  insert: (d) => repository(d).insert({ price: 1 }),
  update: (d) => repository(d).update(1, { price: 2 }),
  softDelete: (d) => repository(d).softDelete(4),
  delete: (d) => repository(d).delete(4),
}

/** The calls of the transformer that each change made. */
async function counted(dataSource: DataSource): Promise<Record<string, typeof transformed>> {
  const counts: Record<string, typeof transformed> = {}
  for (const [name, change] of Object.entries(changes)) {
    Object.assign(transformed, { to: 0, from: 0 })
    await change(dataSource)
    counts[name] = { ...transformed }
  }
  return counts
}

const restart =
  "truncate priced, note restart identity; insert into priced (price) values (10), (20), (30), (40), (50)"
const methods = (dataSource: DataSource) => dataSource.subscribers.flatMap(methodsOf)

function methodsOf(subscriber: object): string[] {
  return Object.getOwnPropertyNames(Object.getPrototypeOf(subscriber)).filter((name) =>
    /^(?:before|after)/.test(name),
  )
}

const afterMethods = ["afterInsert", "afterUpdate", "afterRemove", "afterSoftRemove", "afterRecover"]
const beforeMethods = ["beforeInsert", "beforeUpdate", "beforeRemove", "beforeSoftRemove", "beforeRecover"]

describe("The subscribers of the plugin", () => {
  const database = useDatabase()
  const installed = useMaintenance(database, { entities, synchronize: true })
  beforeEach(() => database.current.sql(restart))
  afterEach(async () => {
    const { maintenance } = installed.current
    await maintenance.leave({ as: "alice", ifHeld: true })
  })

  /** The counts of plain TypeORM. */
  const plainly = () => withPlainDataSource(database.current.url, { entities }, counted)

  it("have no methods before a change in normal mode, and cause no recomputation of entities", async () => {
    const { dataSource } = installed.current
    expect(methods(dataSource)).to.deep.equal(afterMethods)
    const expected = await plainly()
    expect(expected["insert by save"]?.to, "the transformer counts").to.be.greaterThan(0)
    await database.current.sql(restart)
    expect(await counted(dataSource)).to.deep.equal(expected)
  })

  it("have methods before a change only while a window stands", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    expect(methods(dataSource)).to.deep.equal([...afterMethods, ...beforeMethods])
    await maintenance.leave({ as: "alice" })
    expect(methods(dataSource)).to.deep.equal(afterMethods)
  })

  it("cause no recomputation for the maintainer", async () => {
    const { dataSource, maintenance } = installed.current
    const expected = await plainly()
    await database.current.sql(restart)
    await maintenance.enter("concurrent", { as: "alice" })
    expect(await maintenance.runAs("alice", () => counted(dataSource))).to.deep.equal(expected)
  })

  it("would be detected by the counter: TypeORM recomputes if there is a method before a change", async () => {
    const expected = await plainly()
    await database.current.sql(restart)
    const others = await withPlainDataSource(database.current.url, { entities }, async (plain) => {
      plain.subscribers.push({ beforeInsert: () => undefined, beforeUpdate: () => undefined })
      return counted(plain)
    })
    expect(others["update by save"]).not.to.deep.equal(expected["update by save"])
  })

  it("are complete in a DataSource that initializes while a window stands, and removed by uninstall()", async () => {
    const { maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    await withMaintenance(database.current.url, { entities }, async (other) => {
      expect(methods(other.dataSource)).to.deep.equal([...afterMethods, ...beforeMethods])
      await other.maintenance.uninstall()
      expect(other.dataSource.subscribers).to.deep.equal([])
    })
  })

  it("are present once after destroy() and initialize()", async () => {
    await withMaintenance(database.current.url, { entities }, async ({ dataSource }) => {
      await dataSource.destroy()
      expect(dataSource.subscribers).to.deep.equal([])
      await dataSource.initialize()
      expect(methods(dataSource)).to.deep.equal(afterMethods)
    })
  })

  const named: Record<string, WriteVetoedError["changes"]> = {
    "insert by save": [{ entity: "Priced", operation: "insert" }],
    "insert of several by save": [{ entity: "Priced", operation: "insert" }],
    "update by save": [{ entity: "Priced", operation: "update" }],
    "soft-remove": [{ entity: "Priced", operation: "soft-remove" }],
    recover: [{ entity: "Priced", operation: "recover" }],
    remove: [{ entity: "Priced", operation: "remove" }],
    insert: [{ entity: "Priced", operation: "insert" }],
    update: [{ entity: "Priced", operation: "update" }],
    softDelete: [{ entity: "Priced", operation: "soft-remove" }],
    delete: [{ entity: "Priced", operation: "remove" }],
  }
  for (const vetoAt of ["commit", "write"] as const) {
    for (const [name, change] of Object.entries(changes)) {
      it(`name the changes in a veto at the ${vetoAt}: ${name}`, async () => {
        const { dataSource, maintenance } = installed.current
        if (name === "recover")
          await database.current.sql('update priced set "deletedAt" = now() where id = 2')
        await maintenance.enter("concurrent", { as: "alice" })
        const veto = await errorOf(maintenance.runAs("bob", () => change(dataSource), { vetoAt }))
        expect(veto).to.be.instanceOf(WriteVetoedError)
        expect((veto as WriteVetoedError).changes).to.deep.equal(named[name])
      })
    }
  }

  it("name the changes up to the last savepoint in a veto at the commit, and none of an earlier transaction", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const runner = dataSource.createQueryRunner()
    const vetoOf = async (work: () => Promise<unknown>) => {
      await runner.startTransaction()
      await work()
      const veto = await errorOf(runner.commitTransaction())
      await runner.rollbackTransaction().catch(() => undefined)
      return (veto as WriteVetoedError).changes
    }
    const { manager } = runner
    expect(await vetoOf(() => manager.save(Priced, { price: 1 }))).to.deep.equal([
      { entity: "Priced", operation: "insert" },
    ])
    const withSavepoint = async () => {
      await manager.update(Priced, 1, { price: 5 })
      await manager
        .transaction(async (inner) => {
          await inner.delete(Priced, 1)
          throw new Error("back to the savepoint")
        })
        .catch(() => undefined)
    }
    expect(await vetoOf(withSavepoint)).to.deep.equal([{ entity: "Priced", operation: "update" }])
    await runner.release()
  })
})

/** What is written to the sockets of the pool while the work runs. */
async function sent(dataSource: DataSource, work: () => Promise<unknown>): Promise<string> {
  await dataSource.query("select 1")
  const { master } = dataSource.driver as unknown as {
    master: { _clients: { connection: { stream: { write(...args: unknown[]): boolean } } }[] }
  }
  let text = ""
  const undos = master._clients.map(({ connection: { stream } }) => {
    const { write } = stream
    stream.write = (...args) => {
      text += String(args[0])
      return write.apply(stream, args)
    }
    return () => (stream.write = write)
  })
  await work()
  for (const undo of undos) undo()
  return text
}

/** Changes the state with nobody notified. */
const silently = {
  enter:
    "update maintenance.state set mode = 'concurrent', maintainer = 'alice', since = now(), window_id = 'silent', epoch = epoch + 1",
  leave:
    "update maintenance.state set mode = 'normal', maintainer = null, since = null, window_id = null, epoch = epoch + 1",
}

describe('vetoAt: "write"', () => {
  const database = useDatabase()
  const installed = useMaintenance(database, {
    entities,
    synchronize: true,
    poolSize: 1,
    plugin: { vetoAt: "write" },
  })
  beforeEach(() => database.current.sql(restart))
  afterEach(() => installed.current.maintenance.leave({ as: "alice", ifHeld: true }))

  const rows = async () =>
    (await database.current.sql("select price from priced order by id")).map(({ price }) => price)
  const untouched = [10, 20, 30, 40, 50]

  for (const [name, change] of Object.entries(changes)) {
    it(`refuses a write of the ORM before it is sent: ${name}`, async () => {
      const { dataSource, maintenance } = installed.current
      if (name === "recover") await database.current.sql('update priced set "deletedAt" = now() where id = 2')
      await maintenance.enter("concurrent", { as: "alice" })
      let veto: unknown
      const text = await sent(dataSource, async () => (veto = await errorOf(change(dataSource))))
      expect(veto).to.be.instanceOf(WriteVetoedError)
      expect(text).not.to.match(/insert into|update "|delete from/i)
      expect(await rows()).to.deep.equal(untouched)
    })
  }

  it("differs from a veto at the commit, which comes after the write was sent", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const change = () =>
      maintenance.runAs("bob", () => errorOf(repository(dataSource).insert({ price: 1 })), {
        vetoAt: "commit",
      })
    expect(await sent(dataSource, change)).to.match(/insert into/i)
  })

  it("lets the maintainer write, and all users read", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    await maintenance.runAs("alice", () => repository(dataSource).save({ price: 60 }))
    expect(await repository(dataSource).count()).to.equal(6)
  })

  it("refuses several entities that are saved together only once", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const refused: unknown[] = []
    const stop = maintenance.on("refused", (error) => refused.push(error))
    const veto = await errorOf(repository(dataSource).save([{ price: 1 }, { price: 2 }, { price: 3 }]))
    stop()
    expect(refused).to.deep.equal([veto])
  })

  it("refuses each user by itself, even within one transaction", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const save = (manager: EntityManager, user: string) =>
      maintenance.runAs(user, () => manager.insert(Priced, { price: 60 }))
    for (const users of [
      ["bob", "alice"],
      ["alice", "bob"],
    ]) {
      await maintenance.runAs("alice", () =>
        dataSource.transaction(async (manager) => {
          const settled = await Promise.allSettled(users.map((user) => save(manager, user)))
          const outcomes = Object.fromEntries(users.map((user, at) => [user, settled[at]?.status]))
          expect(outcomes).to.deep.equal({ alice: "fulfilled", bob: "rejected" })
        }),
      )
    }
  })

  it("goes on after the application has replaced the list of subscribers", async () => {
    const { dataSource, maintenance } = installed.current
    Object.assign(dataSource, { subscribers: [] })
    await maintenance.enter("concurrent", { as: "alice" })
    const veto = await errorOf(repository(dataSource).insert({ price: 1 }))
    expect((veto as WriteVetoedError).changes).to.deep.equal([{ entity: "Priced", operation: "insert" }])
  })

  it("names all that one save() would have changed, like a veto at the commit", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const changesAt = async (vetoAt: "commit" | "write") => {
      const save = () => dataSource.getRepository(Note).save({ priced: { price: 1 } })
      const veto = await errorOf(maintenance.runAs("bob", save, { vetoAt }))
      return (veto as WriteVetoedError).changes.map(({ entity }) => entity).toSorted()
    }
    expect(await changesAt("write")).to.deep.equal(["Note", "Priced"])
    expect(await changesAt("commit")).to.deep.equal(["Note", "Priced"])
  })

  it("names the users of this transaction, and not of an earlier one on the query runner", async () => {
    const { dataSource, maintenance } = installed.current
    const runner = dataSource.createQueryRunner()
    await maintenance.runAs("bob", () => runner.startTransaction())
    await maintenance.runAs("bob", () => runner.query("select 1"))
    await maintenance.runAs("carol", () => runner.commitTransaction())
    await maintenance.enter("concurrent", { as: "alice" })
    const insert = () => runner.manager.insert(Priced, { price: 1 })
    const veto = await errorOf(maintenance.runAs("bob", insert))
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect((veto as WriteVetoedError).actedFor).to.equal(undefined)
    await runner.release()
  })

  it("leaves a transaction usable, and its commit names no refused change", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    await dataSource.transaction(async (manager) => {
      expect(await errorOf(manager.insert(Priced, { price: 1 }))).to.be.instanceOf(WriteVetoedError)
      expect(await manager.count(Priced)).to.equal(5)
    })
  })

  it("refuses nothing once the window is over, even if this process has not seen its end", async () => {
    const { dataSource, maintenance } = installed.current
    await database.current.sql(silently.enter)
    await maintenance.status()
    expect(await errorOf(repository(dataSource).save({ price: 60 }))).to.be.instanceOf(WriteVetoedError)
    expect(maintenance.known?.mode).to.equal("concurrent")
    await database.current.sql(silently.leave)
    await repository(dataSource).save({ price: 60 })
    expect(await rows()).to.deep.equal([...untouched, 60])
  })

  it("leaves the refusal to the fence if the process has not seen the window", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.status()
    let veto: unknown
    const text = await sent(dataSource, async () => {
      await database.current.sql(silently.enter)
      expect(maintenance.known?.mode).to.equal("normal")
      veto = await errorOf(repository(dataSource).save({ price: 60 }))
    })
    expect(veto).to.be.instanceOf(WriteVetoedError)
    expect(text).to.match(/insert into/i)
    await database.current.sql(silently.leave)
    await maintenance.status()
    expect(await rows()).to.deep.equal(untouched)
  })

  for (const [name, ending, isVetoed] of [
    ["a window that stands", "select 1", true],
    ["a window that has ended meanwhile", silently.leave, false],
  ] as const) {
    it(`leaves the refusal to the fence while the state cannot be read: ${name}`, async () => {
      const { dataSource, maintenance } = installed.current
      await maintenance.enter("concurrent", { as: "alice" })
      const [backend] = await dataSource.query<{ pid: number }[]>("select pg_backend_pid() as pid")
      const saving = () =>
        withClient(database.current.url, async (client) => {
          await client.query("begin; lock table maintenance.state in access exclusive mode")
          let isOver = false
          const saved = errorOf(repository(dataSource).save({ price: 60 })).finally(() => (isOver = true))
          await until(async () => {
            const waiting = "select from pg_locks where pid = $1 and not granted"
            return isOver || (await client.query(waiting, [backend?.pid])).rowCount === 1
          })
          await client.query(`${ending}; commit`)
          return saved
        })
      let veto: unknown
      const text = await sent(dataSource, async () => (veto = await saving()))
      expect(text).to.match(/insert into/i)
      if (isVetoed) expect(veto).to.be.instanceOf(WriteVetoedError)
      else expect(veto).to.equal(undefined)
      expect(await rows()).to.deep.equal(isVetoed ? untouched : [...untouched, 60])
    })
  }

  it("leaves raw SQL to the veto at the commit", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const insert = () => errorOf(dataSource.query("insert into priced (price) values (1)"))
    expect(await sent(dataSource, insert)).to.include("insert into priced")
    expect(await rows()).to.deep.equal(untouched)
  })

  it("lets a process that retries without a pause learn that the window is over", async () => {
    const { dataSource, maintenance } = installed.current
    /** Later attempts than these are delayed, so that timers and sockets are served between them. */
    const many = 20
    await withMaintenance(database.current.url, { entities }, async (other) => {
      await other.maintenance.enter("concurrent", { as: "alice" })
      const refusals: unknown[] = []
      let written: Promise<void> | undefined
      await new Promise<void>((refusedOften) => {
        written = (async () => {
          for (;;) {
            const refusal = await errorOf(repository(dataSource).insert({ price: 60 }))
            if (refusal === undefined) return
            if (refusals.push(refusal) === many) refusedOften()
          }
        })()
      })
      await other.maintenance.leave({ as: "alice" })
      await written
      for (const refusal of refusals) expect(refusal).to.be.instanceOf(WriteVetoedError)
    })
    expect(await rows()).to.deep.equal([...untouched, 60])
    await until(() => maintenance.known?.mode === "normal")
  })

  it('is overridden by runAs(), which accepts only "commit" and "write"', async () => {
    const { maintenance } = installed.current
    const given = (vetoAt: unknown) => () =>
      maintenance.runAs("bob", () => undefined, { vetoAt } as Parameters<Maintenance["runAs"]>[2] & object)
    expect(given("later")).to.throw(
      MaintenanceInputError,
      'The option vetoAt must be "commit" or "write", not \'later\'.',
    )
  })
})
