import { expect } from "chai"
import { MaintenanceInputError, type MaintenanceOptions, MaintenanceSetupError } from "../../src"
import { withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { errorOf } from "../support/error-of"

describe("The environment variable MAINTENANCE_USER", () => {
  const database = useDatabase()
  before(() => withMaintenance(database.current.url, {}, ({ maintenance }) => maintenance.status()))
  afterEach(() => void delete process.env["MAINTENANCE_USER"])

  /** The user for whom code acts without runAs(), with this environment and this option; or an error. */
  const actorWith = async (user: string, plugin: MaintenanceOptions) => {
    process.env["MAINTENANCE_USER"] = user
    return withMaintenance(database.current.url, { plugin }, async ({ maintenance }) => {
      const refused = await errorOf(maintenance.enter("concurrent"))
      const { maintainer } = await maintenance.status()
      if (maintainer !== undefined) await maintenance.leave({ as: maintainer })
      return maintainer ?? refused
    })
  }

  it("names the user where the application says none", async () => {
    expect(await actorWith("alice", {})).to.equal("alice")
    expect(await actorWith("alice", { currentUser: () => undefined })).to.equal("alice")
  })

  it("yields to the application, which may also say that there is no user", async () => {
    expect(await actorWith("alice", { currentUser: () => "bob" })).to.equal("bob")
    for (const nobody of [null, ""])
      expect(await actorWith("alice", { currentUser: () => nobody })).to.be.instanceOf(MaintenanceInputError)
  })

  it("names nobody if it is empty", async () => {
    expect(await actorWith("", {})).to.be.instanceOf(MaintenanceInputError)
  })

  it("is read when the plugin is installed, not later", async () => {
    await withMaintenance(database.current.url, {}, async ({ maintenance }) => {
      process.env["MAINTENANCE_USER"] = "alice"
      expect(await errorOf(maintenance.enter("concurrent"))).to.be.instanceOf(MaintenanceInputError)
    })
  })

  it("is refused at once if it is no user", async () => {
    const failure = await errorOf(actorWith("a".repeat(201), {}))
    expect(failure).to.be.instanceOf(MaintenanceSetupError)
    expect((failure as Error).message).to.equal(
      "The environment variable MAINTENANCE_USER is a user that is longer than 200 characters. Name a user of 1 to 200 characters, or unset it.",
    )
  })
})
