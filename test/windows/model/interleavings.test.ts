import { expect } from "chai"
import { scheduler, tuple } from "fast-check"
import { Client } from "pg"
import type { Maintenance } from "../../../src"
import { useMaintenance } from "../../support/data-source"
import { useDatabase } from "../../support/database"
import { errorOf } from "../../support/error-of"
import { isEmergency, users } from "./actions"
import { Interleaving } from "./interleaving"
import type { Model } from "./model"
import { plans } from "./plans"
import { expectNone } from "./search"
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

  it("obey the rules, regardless of the order of their calls", async function () {
    this.timeout(0)
    const maintenances = [first.current.maintenance, second.current.maintenance]
    await expectNone(
      tuple(plans, scheduler()),
      async ([some, order]) => {
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
      },
      20,
    )
  })
})
