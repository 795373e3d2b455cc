import { expect } from "chai"
import { type Scheduler, scheduler, tuple } from "fast-check"
import { Client } from "pg"
import type { Maintenance } from "../../../src"
import { useMaintenance } from "../../support/data-source"
import { useDatabase } from "../../support/database"
import { errorOf } from "../../support/error-of"
import { isEmergency, users } from "./actions"
import { Interleaving } from "./interleaving"
import type { Model } from "./model"
import { type Plan, plans } from "./plans"
import { introduce, type Variant, variants } from "./broken-variants"
import { counterexample, expectNone } from "./search"
import { helpers } from "./snapshot"

const plugin = { emergencyUsers: users.filter(isEmergency) }

describe("Users who change the mode concurrently", () => {
  const database = useDatabase()
  const first = useMaintenance(database, { plugin })
  const second = useMaintenance(database, { plugin })
  let client: Client
  before(async () => {
    client = new Client({ connectionString: database.current.url })
    await client.connect()
    await client.query(`${helpers} create table written (by text);`)
    database.current.beforeDrop(() => client.end())
  })

  /** Compares the status and the refusals of each DataSource with the rules. */
  const compare = async (maintenance: Maintenance, model: Model) => {
    const { mode, maintainer } = model.inForce() ?? { mode: "normal", maintainer: undefined }
    const status = await maintenance.status()
    expect([status.mode, status.maintainer]).to.deep.equal([mode, maintainer])
    for (const user of users) {
      const write = () => maintenance.dataSource.query("insert into written values ($1)", [user])
      const error = (await errorOf(maintenance.runAs(user, write))) as { code?: string } | undefined
      const code = mode === "exclusive" ? "MAINTENANCE_ACCESS_REFUSED" : "MAINTENANCE_WRITE_VETOED"
      expect(error?.code).to.equal(
        model.isAdmitted({ user, isEmergency: isEmergency(user) }) ? undefined : code,
      )
    }
  }

  const interleave = async ([some, order]: [Plan[], Scheduler]) => {
    const maintenances = [first.current.maintenance, second.current.maintenance]
    const interleaving = new Interleaving(order, maintenances, client)
    try {
      await interleaving.run(some)
      for (const maintenance of maintenances) await compare(maintenance, interleaving.model)
    } finally {
      await client.query(
        "select maintenance.leave('root', true) from maintenance.status() where mode <> 'normal'",
      )
      await client.query("delete from maintenance.window; delete from maintenance.change")
    }
  }

  it("obey the rules, regardless of the order of their calls", async function () {
    this.timeout(0)
    await expectNone(tuple(plans, scheduler()), interleave, 20)
  })

  it("are found to break the rules if the database does", async function () {
    this.timeout(0)
    const variant = variants.find((one) => one.function === "assert_one_task") as Variant
    const undo = await introduce(client, variant)
    const options = { numRuns: 1000, endOnFailure: true }
    const found = await counterexample(tuple(plans, scheduler()), interleave, options)
    await undo()
    expect(found).to.match(
      /^void \(async [^]*\/\/ Here the rules and the plugin differ: start_entering\(\): MM005 /,
    )
  })
})
