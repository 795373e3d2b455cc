import { expect } from "chai"
import { Client } from "pg"
import {
  connectMaintenance,
  MaintenanceInputError,
  MaintenanceSetupError,
  NotMaintainerError,
  StateUnavailableError,
  WriteVetoedError,
} from "../../src"
import { newDataSource, useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { Item } from "../support/entities"
import { errorOf } from "../support/error-of"
import { openShop } from "../support/shop"
import { statusThat } from "../support/until"

describe("connectMaintenance()", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))

  const clientOf = (url: string) => (settings: object) => new Client({ connectionString: url, ...settings })
  const connect = (options = {}) => connectMaintenance(clientOf(database.current.url), options)

  it("changes the mode without a DataSource, for every DataSource that has the plugin", async () => {
    const control = await connect()
    try {
      const entered = await control.enter("concurrent", { as: "alice", reason: "rebuild the catalog" })
      expect(entered).to.include({ mode: "concurrent", maintainer: "alice" })
      const { dataSource, maintenance } = installed.current
      expect(await errorOf(dataSource.getRepository(Item).insert({ name: "a new one" }))).to.be.instanceOf(
        WriteVetoedError,
      )
      await control.extend({ as: "alice", expiresInMs: 60_000 })
      await control.transfer({ as: "alice", to: "bob" })
      expect(await maintenance.status()).to.include({ maintainer: "bob" })
      expect(await errorOf(control.leave({ as: "alice" }))).to.be.instanceOf(NotMaintainerError)
      await control.leave({ as: "bob" })
      expect(await maintenance.status()).to.include({ mode: "normal" })
      const [last] = await control.journal({ limit: 1 })
      expect(last).to.include({ endedBecause: "left", endedBy: "bob" })
    } finally {
      await control.close()
    }
  })

  it("hears of changes, reports what it waits for, and runs work within a window", async () => {
    const control = await connect()
    const { maintenance } = installed.current
    try {
      const heard: string[] = []
      control.on("change", ({ mode }) => heard.push(mode))
      const worked = await control.during("exclusive", { as: "alice" }, async () => {
        expect(control.known).to.include({ mode: "exclusive", maintainer: "alice" })
        return "done"
      })
      expect(worked).to.equal("done")
      await maintenance.enter("concurrent", { as: "bob" })
      await statusThat(control, ({ mode }) => mode === "concurrent")
      await maintenance.leave({ as: "bob" })
      expect(heard.slice(0, 2)).to.deep.equal(["exclusive", "normal"])
    } finally {
      await control.close()
    }
  })

  it("reaches the state of a DataSource by its connectOptions", async () => {
    const { maintenance } = installed.current
    expect(maintenance.connectOptions).to.deep.equal({
      schema: "maintenance",
      emergencyUsers: ["break-glass"],
      showsQueries: false,
    })
    const control = await connect(maintenance.connectOptions)
    try {
      expect(control.connectOptions).to.deep.equal(maintenance.connectOptions)
      await maintenance.enter("concurrent", { as: "alice" })
      expect(await control.leave({ as: "break-glass" })).to.include({ mode: "normal" })
    } finally {
      await control.close()
    }
  })

  it("is an instance while it is connected, and refuses to do anything after close()", async () => {
    const { maintenance } = installed.current
    const before = (await maintenance.status()).instances.length
    const control = await connect()
    expect((await maintenance.status()).instances).to.have.length(before + 1)
    await control.close()
    await statusThat(maintenance, ({ instances }) => instances.length === before)
    const refused = await errorOf(control.enter("concurrent", { as: "alice" }))
    expect(refused).to.be.instanceOf(MaintenanceSetupError)
    expect((refused as Error).message).to.equal("This control was closed. Connect again.")
    // Nothing will ever be drained.
    for await (const draining of control.draining()) expect.fail(JSON.stringify(draining))
  })

  it("leaves the window open that it has entered", async () => {
    const control = await connect()
    await control.enter("concurrent", { as: "alice" })
    await control.close()
    const { maintenance } = installed.current
    expect(await maintenance.status()).to.include({ mode: "concurrent", maintainer: "alice" })
    await maintenance.leave({ as: "alice" })
  })

  it("treats the users that it is given as emergency users, and no others", async () => {
    const { maintenance } = installed.current
    const control = await connect({ emergencyUsers: ["night shift"] })
    try {
      await maintenance.enter("exclusive", { as: "alice" })
      expect(await errorOf(control.leave({ as: "bob" }))).to.be.instanceOf(NotMaintainerError)
      await control.leave({ as: "night shift" })
      expect(await maintenance.status()).to.include({ mode: "normal" })
    } finally {
      await control.close()
    }
  })

  it("says what to do where the schema is missing, and leaves no connection behind", async () => {
    const empty = newDataSource(database.current.url)
    await empty.initialize()
    const error = await errorOf(connect({ schema: "not_there" }))
    await empty.destroy()
    expect(error).to.be.instanceOf(MaintenanceSetupError)
    expect((error as Error).message).to.include('The schema "not_there" is not installed')
  })

  it("creates the schema where it may", async () => {
    const control = await connect({ schema: "made_here", migrate: true })
    expect(await control.status()).to.include({ mode: "normal" })
    await control.close()
  })

  const badInput: [string, unknown, unknown, string][] = [
    ["no function", "postgres://localhost", {}, "needs a function that returns a client of pg"],
    ["a function that returns no client", () => ({}), {}, "returned no client of pg"],
    [
      "a function that ignores the settings",
      () => new Client(),
      {},
      "no client of pg with the given settings",
    ],
    [
      "an option of a DataSource",
      undefined,
      { onRefused: "wait" },
      'Unknown option "onRefused". Known options are currentUser',
    ],
    ["options that are no object", undefined, "alice", "The options must be an object"],
    ["an invalid option", undefined, { schema: "Public" }, "Invalid schema name"],
  ]
  for (const [name, createClient, options, message] of badInput) {
    it(`refuses ${name}`, async () => {
      const factory = (createClient ?? clientOf(database.current.url)) as (settings: object) => object
      const error = await errorOf(connectMaintenance(factory, options as object))
      expect(error).to.be.instanceOf(MaintenanceSetupError)
      expect((error as Error).message).to.include(message)
    })
  }

  it("says that its function must not be async, and leaves no rejection unhandled", async () => {
    const error = await errorOf(connectMaintenance(() => Promise.reject(new Error("no secret"))))
    expect(error).to.be.instanceOf(MaintenanceSetupError)
    expect((error as Error).message).to.include("returned a promise")
  })

  for (const [what, change, ErrorClass] of [
    ["no server listens", (url: URL) => (url.port = "1"), StateUnavailableError],
    ["there is no such database", (url: URL) => (url.pathname = "/nowhere"), MaintenanceSetupError],
    ["there is no such role", (url: URL) => (url.username = "nobody"), MaintenanceSetupError],
  ] as const) {
    it(`says that it could not connect if ${what}`, async () => {
      const url = new URL(database.current.url)
      change(url)
      const error = await errorOf(connectMaintenance(clientOf(url.toString())))
      expect(error).to.be.instanceOf(ErrorClass)
      expect((error as Error).message).to.match(/^connectMaintenance\(\) could not connect to the database: /)
    })
  }

  it("refuses to change the mode for no user", async () => {
    const control = await connect()
    expect(await errorOf(control.enter("concurrent"))).to.be.instanceOf(MaintenanceInputError)
    await control.close()
  })
})
