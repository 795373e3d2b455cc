import { expect } from "chai"
import { DataSource, type DataSourceOptions } from "typeorm"
import { installMaintenance, maintenanceSchemaSql, MaintenanceSetupError } from "../../../src"
import { checkTypeormVersion } from "../../../src/enforcement/host"
import { checkServerVersion } from "../../../src/state/state-store"
import { newDataSource, useMaintenance, withMaintenance } from "../../support/data-source"
import { useDatabase } from "../../support/database"
import { badCalls, badOptions, itRejects, thrown } from "./bad-call"

const unknownOption =
  'Unknown option "emergencyUser". Known options are currentUser, emergencyUsers, schema, migrate, preparedStatements, ' +
  "onRefused, vetoAt, maxWaitMs, maxWaiting, showsQueries, journalDays."
const noFunction = "The option currentUser must be a function that returns a user or undefined."
const noArray = "The option emergencyUsers must be an array of users."
const badUser = (fault: string) => `The option emergencyUsers contains a user that ${fault}.`
const noFlag = "The option %o must be true or false."
const breaks = (rule: string) => `The option %o must be ${rule}, not %s.`
const noPolicy = breaks('"throw" or "wait"')
const noMoment = breaks('"commit" or "write"')
const noCount = breaks("a whole number from 0 to 2147483647")
const noDays = breaks("a whole number from 1 to 36500")
const invalidName =
  "Invalid schema name %s. Use at most 40 lower-case letters, digits and underscores, beginning with a letter or an underscore."
const invalidNames = {
  '"Maintenance"': "Maintenance",
  [String.raw`"main\"tenance"`]: 'main"tenance',
  '"app.maintenance"': "app.maintenance",
  [String.raw`"maintenance\n"`]: "maintenance\n",
  '"1st"': "1st",
  [`"${"s".repeat(41)}"`]: "s".repeat(41),
  '""': "",
  null: null,
  7: 7,
}
const foreignSchema =
  'The schema "%s" cannot hold the maintenance state. Name a schema that holds nothing else, such as "maintenance".'
const foreign = ["public", "information_schema", "pg_maintenance"]
const foreignSchemas = Object.fromEntries(foreign.map((name) => [name, name]))

const options = badOptions(
  "installMaintenance()",
  [
    ["emergencyUser", unknownOption, [["root"]]],
    ["currentUser", noFunction, ["alice", null]],
    ["emergencyUsers", noArray, ["root", new Set(["root"])]],
    ["emergencyUsers", badUser("is not a string (number)"), [["root", 1]]],
    ["emergencyUsers", badUser("is empty"), [[""]]],
    ["emergencyUsers", badUser("is longer than 200 characters"), [["a".repeat(201)]]],
    ["emergencyUsers", badUser("contains a null character"), [["\0"]]],
    ["migrate", noFlag, ["no"]],
    ["preparedStatements", noFlag, [0]],
    ["showsQueries", noFlag, [null]],
    ["onRefused", noPolicy, { "'later'": "later", null: null }],
    ["vetoAt", noMoment, { "'later'": "later", "'WRITE'": "WRITE", null: null, true: true }],
    ["maxWaitMs", noCount, { "-1": -1, "'1h'": "1h" }],
    ["maxWaiting", noCount, { 1.5: 1.5, NaN }],
    ["journalDays", noDays, { 0: 0, 0.5: 0.5, 36501: 36_501, Infinity }],
    ["schema", invalidName, invalidNames],
    ["schema", foreignSchema, foreignSchemas],
  ],
  (given) => (dataSource: DataSource) => installMaintenance(dataSource, given),
)
options.push({
  title: "installMaintenance() with null",
  message: "The options must be an object, not null.",
  call: (dataSource) => installMaintenance(dataSource, null as never),
})

const url = "postgres://localhost/x"
const unsupported = (fault: string) =>
  `This TypeORM is not supported: ${fault}. Install TypeORM 0.3.20 up to, but not including, 2.`
const versions = ["0.2.45", "0.3.0", "0.3.19", "0.4.0", "2.0.0", "2.0.0-alpha.1", "10.0.0", "next", ""]
const withoutDataSource = [
  ...badCalls({
    "installMaintenance() needs a TypeORM DataSource as its first argument.": [
      () => installMaintenance(undefined as never),
      () => installMaintenance(null as never),
      () => installMaintenance({} as never),
      () => installMaintenance({ type: "postgres", url: "postgres://localhost/x" } as never),
    ],
    'Unknown option "rolle". Known options are schema, role.': () =>
      maintenanceSchemaSql({ rolle: "shop" } as never),
    'The option role must name a role, not "".': () => maintenanceSchemaSql({ role: "" }),
    "The option role must name a role, not 5.": () => maintenanceSchemaSql({ role: 5 as never }),
    "PostgreSQL 13 is not supported: typeorm-maintenance-mode needs PostgreSQL 14 or later.": () =>
      checkServerVersion(130_021),
  }),
  ...versions.map((version) => ({
    title: `TypeORM ${JSON.stringify(version)}`,
    message: unsupported(`its version is ${version}`),
    call: () => checkTypeormVersion(version),
  })),
]

const otherTypes: readonly DataSourceOptions[] = [
  { type: "cockroachdb", url, timeTravelQueries: false },
  { type: "react-native", database: "x", location: "default", driver: {} },
]

describe("Bad input of an installation", () => {
  const database = useDatabase()

  itRejects(MaintenanceSetupError, options, {
    subject: () => newDataSource(database.current.url),
    stateOf: shapeOf,
  })
  itRejects(MaintenanceSetupError, withoutDataSource, {
    subject: () => undefined,
    stateOf: () => undefined,
  })

  for (const other of otherTypes) {
    const message = `Maintenance mode supports only "postgres", but the DataSource is of type "${other.type}".`
    itRejects(
      MaintenanceSetupError,
      [{ title: `a DataSource of type ${other.type}`, message, call: (d) => installMaintenance(d) }],
      { subject: () => new DataSource(other), stateOf: shapeOf },
    )
  }

  it("a driver that lacks a method is a MaintenanceSetupError that names it and the versions", async () => {
    const dataSource = newDataSource(database.current.url)
    Object.defineProperty(dataSource.driver, "obtainSlaveConnection", { value: undefined })
    const { message } = await thrown(MaintenanceSetupError, () => installMaintenance(dataSource))
    expect(message.replace(/\d+\.\d+\.\d+(?= has)/, "<version>")).to.equal(
      unsupported("the PostgreSQL driver of <version> has no obtainSlaveConnection()"),
    )
  })

  it("a second installation is a MaintenanceSetupError, and the first one still works", async () => {
    await withMaintenance(database.current.url, {}, async ({ dataSource, maintenance }) => {
      const before = shapeOf(dataSource)
      const { message } = await thrown(MaintenanceSetupError, () => installMaintenance(dataSource))
      expect(message).to.equal("Maintenance mode is already installed in this DataSource. Install it once.")
      expect(shapeOf(dataSource)).to.deep.equal(before)
      expect(await maintenance.during("concurrent", { as: "alice" }, () => "done")).to.equal("done")
    })
  })
})

describe("A supported version is accepted:", () => {
  for (const version of ["0.3.20", "0.3.31", "1.0.0", "1.0.0-beta.2", "1.1.1", "1.20.3", undefined]) {
    it(`TypeORM ${version ?? "of an unknown version"}`, () => {
      expect(checkTypeormVersion(version)).to.equal(undefined)
    })
  }

  it("PostgreSQL 14 and later", () => {
    for (const version of [140_000, 150_018, 180_004])
      expect(() => checkServerVersion(version)).not.to.throw()
  })
})

describe("A call at the wrong time", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)

  for (const call of ["status", "enter"] as const) {
    it(`${call}() before initialize() is a MaintenanceSetupError, and initialize() works after it`, async () => {
      const dataSource = newDataSource(database.current.url)
      const maintenance = installMaintenance(dataSource)
      const error = await thrown(MaintenanceSetupError, () =>
        maintenance[call]("concurrent", { as: "alice" }),
      )
      expect(error.message).to.equal("The DataSource is not initialized. Call initialize() first.")
      await dataSource.initialize()
      expect(await maintenance.status()).to.include({ mode: "normal" })
      await dataSource.destroy()
      await maintenance.uninstall()
    })
  }

  it("enter() after uninstall() is a MaintenanceSetupError", async () => {
    const { maintenance } = installed.current
    await maintenance.uninstall()
    const error = await thrown(MaintenanceSetupError, () => maintenance.enter("concurrent", { as: "alice" }))
    expect(error.message).to.equal("Maintenance mode was uninstalled from this DataSource.")
  })
})

/** The own properties of a DataSource and its driver, which tell whether either was changed. */
function shapeOf(dataSource: DataSource): unknown {
  return [dataSource, dataSource.driver].map((host) => [
    Reflect.ownKeys(host),
    host.constructor,
    Object.getOwnPropertyDescriptor(host, "createQueryRunner")?.value,
  ])
}
