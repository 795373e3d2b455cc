import { expect } from "chai"
import { hostname } from "node:os"
import { type Instance, type Maintenance, WriteVetoedError } from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { TestDatabase, useDatabase, withClient } from "../support/database"
import { Item } from "../support/entities"
import { Member } from "../support/members"
import { endOwnSessions } from "../support/sessions"
import { openShop } from "../support/shop"
import { until } from "../support/until"

const { version } = require("../../../package.json") as { version: string }

describe("The instances", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))

  const members: Member[] = []
  const start = async () => {
    const member = await Member.start(database.current.url)
    members.push(member)
    return member
  }
  afterEach(() => Promise.all(members.splice(0).map((member) => member.stop())))

  const instanceOf = async (maintenance: Maintenance, pid: number): Promise<Instance | undefined> =>
    (await maintenance.status()).instances.find((instance) => instance.pid === pid)

  it("are listed by status(), with the epoch that each knows", async () => {
    const { maintenance } = installed.current
    const [one, other] = [await start(), await start()]
    const { instances } = await maintenance.status()
    expect(instances.map(({ pid }) => pid)).to.deep.equal([process.pid, one.pid, other.pid])
    const now = (await database.current.sql<{ now: Date }>("select now()"))[0]?.now as Date
    for (const instance of instances) {
      expect(instance).to.include({ host: hostname(), version, epoch: 1, refusals: 0 })
      expect(instance.since).to.be.at.most(now)
    }
  })

  it("have all acknowledged the mode when enter() resolves; those that are gone are not waited for", async () => {
    const { maintenance } = installed.current
    const [one, other] = [await start(), await start()]
    const { epoch, unacknowledged } = await maintenance.enter("concurrent", { as: "alice" })
    expect(unacknowledged).to.deep.equal([])
    const { instances } = await maintenance.status()
    expect(instances.map((instance) => instance.epoch)).to.deep.equal([epoch, epoch, epoch])
    one.signal("SIGKILL")
    await until(async () => (await instanceOf(maintenance, one.pid)) === undefined)
    await other.stop()
    const { unacknowledged: missing } = await maintenance.enter("exclusive", {
      as: "alice",
      acknowledgeWithinMs: 2 ** 31 - 1,
    })
    expect(missing).to.deep.equal([])
    await maintenance.leave({ as: "alice" })
  })

  it("are named by enter() and in a warning if they do not respond, and cannot write", async () => {
    const { maintenance } = installed.current
    const stopped = await start()
    const warning = new Promise<Error>((resolve) => process.once("warning", resolve))
    stopped.signal("SIGSTOP")
    const { unacknowledged } = await maintenance.enter("concurrent", { as: "alice", acknowledgeWithinMs: 50 })
    expect(unacknowledged.map(({ pid }) => pid)).to.deep.equal([stopped.pid])
    expect(await warning).to.have.property(
      "message",
      `These instances have not acknowledged within 50 ms: process ${stopped.pid} on ${hostname()}. Their writes are still refused.`,
    )
    const written = stopped.run("insert into audit (note) values ('late')")
    stopped.signal("SIGCONT")
    expect(await written).to.equal("WriteVetoedError")
    const { epoch } = await maintenance.status()
    await until(async () => (await instanceOf(maintenance, stopped.pid))?.epoch === epoch)
    await maintenance.leave({ as: "alice" })
  })

  it("report how often they have refused", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const before = (await instanceOf(maintenance, process.pid))?.refusals as number
    for (let count = 0; count < 3; count++) {
      const veto: unknown = await dataSource
        .getRepository(Item)
        .insert({ name: "x" })
        .catch((error: unknown) => error)
      expect(veto).to.be.instanceOf(WriteVetoedError)
    }
    expect((await instanceOf(maintenance, process.pid))?.refusals).to.equal(before + 3)
    await maintenance.leave({ as: "alice" })
  })

  it("register again under another id after their watch lost its connection", async () => {
    const { maintenance } = installed.current
    const before = (await instanceOf(maintenance, process.pid)) as Instance
    await endOwnSessions(database.current)
    const after = await until(() => instanceOf(maintenance, process.pid))
    expect(after.id).to.be.greaterThan(before.id)
    const { unacknowledged } = await maintenance.enter("concurrent", { as: "alice" })
    expect(unacknowledged).to.deep.equal([])
    await maintenance.leave({ as: "alice" })
    expect(await database.current.sql("select id from maintenance.instance")).to.deep.equal([
      { id: after.id },
    ])
  })

  it("are not duplicated by a cancelled read of their watch", async () => {
    const { maintenance } = installed.current
    const before = (await instanceOf(maintenance, process.pid)) as Instance
    await withClient(database.current.url, async (client) => {
      await client.query("begin; lock table maintenance.state in access exclusive mode")
      await database.current.sql("select pg_notify('typeorm_maintenance_maintenance', 'look')")
      await client.query(`do $$ begin
        loop
          perform pg_cancel_backend(pid) from pg_stat_activity where pg_backend_pid() = any (pg_blocking_pids(pid));
          exit when found;
          perform pg_sleep(0.005), pg_stat_clear_snapshot();
        end loop; end $$`)
    })
    const { id } = await until(async () => {
      const found = await instanceOf(maintenance, process.pid)
      return found?.id !== before.id && found
    })
    const locks = await database.current.sql("select maintenance.live() as id")
    expect(locks).to.deep.equal([{ id }])
    expect((await maintenance.enter("concurrent", { as: "alice" })).unacknowledged).to.deep.equal([])
    await maintenance.leave({ as: "alice" })
  })

  it("register again if their row is missing", async () => {
    const { maintenance } = installed.current
    await database.current.sql("delete from maintenance.instance")
    await maintenance.enter("concurrent", { as: "alice" })
    await until(() => instanceOf(maintenance, process.pid))
    await maintenance.leave({ as: "alice" })
  })

  it("may number two hundred", async function () {
    this.timeout(180_000)
    const own = await TestDatabase.create()
    const enterAmong = async (count: number): Promise<void> => {
      if (count > 0) {
        await withMaintenance(own.url, { poolSize: 1 }, () => enterAmong(count - 1))
        return
      }
      await withMaintenance(own.url, { poolSize: 1 }, async ({ maintenance }) => {
        const { epoch, unacknowledged } = await maintenance.enter("concurrent", { as: "alice" })
        expect(unacknowledged).to.deep.equal([])
        const { instances } = await maintenance.status()
        expect(instances).to.have.length(200)
        expect(new Set(instances.map((instance) => instance.epoch))).to.deep.equal(new Set([epoch]))
        await maintenance.leave({ as: "alice" })
      })
    }
    await enterAmong(199)
    await own.drop()
  })
})
