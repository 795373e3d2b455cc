import { expect } from "chai"
import { DataSource } from "typeorm"
import {
  type EnterOptions,
  installMaintenance,
  maintenanceSchemaSql,
  type Maintenance,
  type MaintenanceError,
  MaintenanceInputError,
  type MaintenanceOptions,
  MaintenanceSetupError,
  NotMaintainerError,
} from "../../src"
import { checkTypeormVersion } from "../../src/enforcement/host"
import { checkServerVersion } from "../../src/state/state-store"
import { type Installed, newDataSource, useMaintenance, withMaintenance } from "../support/data-source"
import { TestDatabase, useDatabase } from "../support/database"
import { Item } from "../support/entities"
import { errorOf } from "../support/error-of"

type ErrorClass = new (message: string) => MaintenanceError

/** A call that makes no sense, and what its error tells. */
interface BadCall {
  call: (maintenance: Maintenance) => unknown
  says: string[]
  error?: ErrorClass
}

const untouched = () => expect.fail("the work ran")
const untouchedTransaction = async () => untouched()
const aWindow = { as: "alice", reason: "reindex" }

const unknownMode = (shown: string) => [`Unknown mode ${shown}`, "normal, concurrent, exclusive"]
const modes: Record<string, BadCall> = {
  "enter of an unknown mode": {
    call: (m) => m.enter("readonly" as never, aWindow),
    says: unknownMode('"readonly"'),
  },
  "enter of a mode in capitals": {
    call: (m) => m.enter("EXCLUSIVE" as never, aWindow),
    says: unknownMode('"EXCLUSIVE"'),
  },
  "enter of an empty mode": { call: (m) => m.enter("" as never, aWindow), says: unknownMode('""') },
  "enter of no mode": { call: (m) => m.enter(undefined as never, aWindow), says: unknownMode("undefined") },
  "enter of null": { call: (m) => m.enter(null as never, aWindow), says: unknownMode("null") },
  "enter of a number": { call: (m) => m.enter(1 as never, aWindow), says: unknownMode("1") },
  "enter of a bigint": { call: (m) => m.enter(1n as never, aWindow), says: unknownMode("1") },
  "enter of a symbol": {
    call: (m) => m.enter(Symbol("x") as never, aWindow),
    says: unknownMode("Symbol(x)"),
  },
  "enter of a name that objects have": {
    call: (m) => m.enter("constructor" as never, aWindow),
    says: unknownMode('"constructor"'),
  },
  "during an unknown mode": {
    call: (m) => m.during("readonly" as never, aWindow, untouched),
    says: unknownMode('"readonly"'),
  },
  "during normal": {
    call: (m) => m.during("normal", aWindow, untouched),
    says: ['during("normal")', "Name the mode to enter"],
  },
  "leave in normal mode": {
    call: (m) => m.leave({ as: "alice" }),
    says: [
      "There is no maintenance to leave: the mode is already normal. If that is expected, pass ifHeld: true.",
    ],
  },
  "enter of normal in normal mode": {
    call: (m) => m.enter("normal", { as: "alice" }),
    says: ["There is no maintenance to leave: the mode is already normal."],
  },
}

const noDuration = (name: string) => [
  `The option ${name} must be a number of milliseconds from 0 to 2147483647, not `,
]
const entering = (option: object) => (m: Maintenance) =>
  m.enter("concurrent", { as: "alice", ...(option as EnterOptions) })
const noExpiry = ["The option expiresInMs must be a number of milliseconds from 1000 to 2147483647, not "]
const noStart = ["The option startsInMs must be a number of milliseconds from 1000 to 2147483647, not "]
const noDate = ["The option startsAt must be a valid Date, not "]
const noReaders = ["The option readers must be a whole number from 1 to 2147483647, not "]
const entries: Record<string, BadCall> = {
  ...Object.fromEntries(
    [-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, "5s", null].flatMap((value) => [
      [
        `enter that waits ${String(value)} ms for acknowledgements`,
        { call: entering({ acknowledgeWithinMs: value }), says: noDuration("acknowledgeWithinMs") },
      ],
      [
        `enter that drains for ${String(value)} ms`,
        { call: entering({ drain: { withinMs: value } }), says: noDuration("drain.withinMs") },
      ],
    ]),
  ),
  ...Object.fromEntries(
    [-1, 0, 999, Number.NaN, 2 ** 31, "1h", null].flatMap((value) => [
      [
        `enter that ends by itself after ${String(value)} ms`,
        { call: entering({ expiresInMs: value }), says: noExpiry },
      ],
      [
        `extend by ${String(value)} ms`,
        { call: (m: Maintenance) => m.extend({ as: "alice", expiresInMs: value as never }), says: noExpiry },
      ],
    ]),
  ),
  ...Object.fromEntries(
    [-1, 0, 999, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, "1h", null].map((value) => [
      `enter that begins after ${String(value)} ms`,
      { call: entering({ startsInMs: value }), says: noStart },
    ]),
  ),
  ...Object.fromEntries(
    [new Date(Number.NaN), 4_102_444_800_000, "2100-01-01T00:00:00Z", {}, null].map((value) => [
      `enter that begins at ${JSON.stringify(value)}, a ${typeof value}`,
      { call: entering({ startsAt: value }), says: noDate },
    ]),
  ),
  ...Object.fromEntries(
    [new Date(0), new Date(-1e14)].map((value) => [
      `enter that begins in ${value.getUTCFullYear()}`,
      {
        call: entering({ startsAt: value }),
        says: ["The window was not announced: the start is past, because it is "],
      },
    ]),
  ),
  "enter that drains by null": {
    call: entering({ drain: null }),
    says: ["The option drain must be an object of withinMs, then, not null."],
  },
  "enter that begins twice": {
    call: entering({ startsAt: new Date("2100-01-01"), startsInMs: 5000 }),
    says: ["The options startsAt and startsInMs exclude each other. Pass only one of them."],
  },
  "during that begins too soon": {
    call: (m) => m.during("exclusive", { as: "alice", startsInMs: 1 }, untouched),
    says: noStart,
  },
  "announce of normal mode": {
    call: (m) => m.announce("normal", { as: "alice", startsInMs: 5000 }),
    says: ["Normal mode cannot be announced"],
  },
  "announce without options": {
    call: (m) => m.announce("concurrent", undefined as never),
    says: ["The options must be an object of "],
  },
  "announce without a start": {
    call: (m) => m.announce("concurrent", { as: "alice" }),
    says: ["announce() needs startsInMs or startsAt. To begin a window now, call enter()."],
  },
  "announce for the past": {
    call: (m) => m.announce("concurrent", { as: "alice", startsAt: new Date(0) }),
    says: ["The window was not announced: the start is past, because it is "],
  },
  "announce for a time beyond a year": {
    call: (m) => m.announce("concurrent", { as: "alice", startsAt: new Date("9999-01-01") }),
    says: ["The window was not announced: the start is more than a year away, because it is only "],
  },
  ...Object.fromEntries(
    [
      { signal: AbortSignal.abort() },
      { leaveOnSignal: true },
      { heldWhile: "alive" },
      { graceMs: 5000 },
      { then: "end" },
    ].map((option) => [
      `announce with ${Object.keys(option)[0]}`,
      {
        call: (m: Maintenance) => m.announce("concurrent", { as: "alice", startsInMs: 5000, ...option }),
        says: [
          `announce() does not support the option ${Object.keys(option)[0]}: `,
          "Supported options are as, reason, ",
        ],
      },
    ]),
  ),
  ...Object.fromEntries(
    ["", 7, null, undefined, "a\0b"].map((id) => [
      `cancel of ${JSON.stringify(id)}`,
      {
        call: (m: Maintenance) => m.cancel(id as never, { as: "alice" }),
        says: ["cancel() needs the id of a window, as returned by announce() or status()."],
      },
    ]),
  ),
  "cancel of an unknown id": {
    call: (m) => m.cancel("4711", { as: "alice" }),
    says: ["There is nothing to cancel: no window has this id. Look at status().windows."],
  },
  "enter of normal later": {
    call: (m) => m.enter("normal", { as: "alice", startsInMs: 5000 }),
    says: ["Normal mode cannot be announced"],
  },
  ...Object.fromEntries(
    [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, "2", null].map((value) => [
      `enter with ${String(value)} readers, a ${typeof value}`,
      { call: entering({ readers: value }), says: noReaders },
    ]),
  ),
  "enter of exclusive mode with readers": {
    call: (m) => m.enter("exclusive", { as: "alice", readers: 2 }),
    says: ["The option readers is for concurrent mode only"],
  },
  "enter with an unknown outcome of the drain": {
    call: entering({ drain: { then: "kill" } }),
    says: ["The option drain.then must be one of proceed, cancel, terminate, abandon, not 'kill'."],
  },
  "enter with an unknown option of the drain": {
    call: entering({ drain: { within: 5 } }),
    says: ['Unknown option "drain.within". Known options are withinMs, then.'],
  },
  "enter with a number to drain for": {
    call: entering({ drain: 5 }),
    says: ["The option drain must be an object"],
  },
  "enter with a signal that is none": {
    call: entering({ signal: "SIGINT" }),
    says: ["The option signal must be an AbortSignal, not 'SIGINT'."],
  },
  "enter that is held in an unknown way": {
    call: entering({ heldWhile: "connected" }),
    says: ["The option heldWhile must be \"alive\" if it is given, not 'connected'."],
  },
  "enter with a grace of less than a second": {
    call: entering({ heldWhile: "alive", graceMs: 999 }),
    says: ["The option graceMs must be a number of milliseconds from 1000 to 2147483647, not 999."],
  },
  "enter with a grace for nothing": {
    call: entering({ graceMs: 5000 }),
    says: ['The options graceMs and then require heldWhile: "alive"'],
  },
  "enter with an outcome for nothing": {
    call: entering({ then: "stay" }),
    says: [
      'The options graceMs and then require heldWhile: "alive". For in-flight transactions, use drain.then.',
    ],
  },
  "enter with an unknown outcome": {
    call: entering({ heldWhile: "alive", then: "terminate" }),
    says: ['The option then must be "end" or "stay", not \'terminate\'.'],
  },
  "leave with a condition that is no yes or no": {
    call: (m) => m.leave({ as: "alice", ifHeld: "yes" as never }),
    says: ["The option ifHeld must be true or false, not 'yes'."],
  },
  "enter with an end by signals that is no yes or no": {
    call: entering({ leaveOnSignal: 1 }),
    says: ["The option leaveOnSignal must be true or false, not 1."],
  },
  "extend in normal mode": {
    call: (m) => m.extend({ as: "alice", expiresInMs: 5000 }),
    says: ["There is no maintenance to extend: the mode is already normal."],
  },
  "transfer in normal mode": {
    call: (m) => m.transfer({ as: "alice", to: "bob" }),
    says: ["There is no maintenance to hand over: the mode is already normal."],
  },
  "transfer to nobody": {
    call: (m) => m.transfer({ as: "alice" } as never),
    says: [
      "The user in the option to must be a string of 1 to 200 characters, but this one is not a string (undefined).",
    ],
  },
  "transfer to an empty user": {
    call: (m) => m.transfer({ as: "alice", to: "" }),
    says: ["The user in the option to must be a string of 1 to 200 characters, but this one is empty."],
  },
}

const nobody = ["no user is known for this call", "`as`", "runAs()", "currentUser"]
const noUser = (fault: string) => ["A user must be a string of 1 to 200 characters", `this one ${fault}.`]
const users: Record<string, BadCall> = {
  "enter for nobody": { call: (m) => m.enter("concurrent"), says: nobody },
  "enter of normal for nobody": { call: (m) => m.enter("normal"), says: nobody },
  "announce for nobody": { call: (m) => m.announce("concurrent", { startsInMs: 5000 }), says: nobody },
  "cancel for nobody": { call: (m) => m.cancel("4711"), says: nobody },
  "leave for nobody": { call: (m) => m.leave(), says: nobody },
  "during for nobody": { call: (m) => m.during("exclusive", {}, untouched), says: nobody },
  "enter as an empty user": { call: (m) => m.enter("concurrent", { as: "" }), says: noUser("is empty") },
  "enter as a blank user": { call: (m) => m.enter("concurrent", { as: " \n\t" }), says: noUser("is empty") },
  "enter as a user of 201 characters": {
    call: (m) => m.enter("concurrent", { as: "a".repeat(201) }),
    says: noUser("is longer than 200 characters"),
  },
  "enter as a user with a null character": {
    call: (m) => m.enter("concurrent", { as: "al\0ice" }),
    says: noUser("contains a null character"),
  },
  "enter as a number": {
    call: (m) => m.enter("concurrent", { as: 7 as never }),
    says: noUser("is not a string (number)"),
  },
  "enter as null": {
    call: (m) => m.enter("concurrent", { as: null as never }),
    says: noUser("is not a string (null)"),
  },
  "enter as an object": {
    call: (m) => m.enter("concurrent", { as: { name: "alice" } as never }),
    says: noUser("is not a string (object)"),
  },
  "leave as an empty user": { call: (m) => m.leave({ as: "" }), says: noUser("is empty") },
  "leave as a number": { call: (m) => m.leave({ as: 7 as never }), says: noUser("is not a string (number)") },
  "during as a user of 201 characters": {
    call: (m) => m.during("exclusive", { as: "a".repeat(201) }, untouched),
    says: noUser("is longer than 200 characters"),
  },
  "runAs an empty user": { call: (m) => m.runAs("", untouched), says: noUser("is empty") },
  "runAs a user of 201 characters": {
    call: (m) => m.runAs("a".repeat(201), untouched),
    says: noUser("is longer than 200 characters"),
  },
  "runAs a user with a null character": {
    call: (m) => m.runAs("\0", untouched),
    says: noUser("contains a null character"),
  },
  "runAs undefined": {
    call: (m) => m.runAs(undefined as never, untouched),
    says: noUser("is not a string (undefined)"),
  },
}

const noReason = (fault: string) => [
  "The option reason must be a string of 1 to 1000 characters",
  `this one ${fault}.`,
]
const reasons: Record<string, BadCall> = {
  "an empty reason": {
    call: (m) => m.enter("concurrent", { as: "alice", reason: "" }),
    says: noReason("is empty"),
  },
  "a blank reason": {
    call: (m) => m.enter("concurrent", { as: "alice", reason: "  " }),
    says: noReason("is empty"),
  },
  "a reason of 1001 characters": {
    call: (m) => m.enter("concurrent", { as: "alice", reason: "r".repeat(1001) }),
    says: noReason("is longer than 1000 characters"),
  },
  "a reason with a null character": {
    call: (m) => m.enter("concurrent", { as: "alice", reason: "re\0index" }),
    says: noReason("contains a null character"),
  },
  "a reason that is a number": {
    call: (m) => m.enter("concurrent", { as: "alice", reason: 42 as never }),
    says: noReason("is not a string (number)"),
  },
  "a reason that is null": {
    call: (m) => m.enter("concurrent", { as: "alice", reason: null as never }),
    says: noReason("is not a string (null)"),
  },
  "a start before all that PostgreSQL knows": {
    call: (m) => m.enter("concurrent", { as: "alice", startsAt: new Date(-8.64e15) }),
    says: ["The option startsAt is in the past: -271821-04-20T00:00:00.000Z."],
  },
  "a message of 2001 characters": {
    call: (m) => m.enter("concurrent", { as: "alice", message: "m".repeat(2001) }),
    says: [
      "The option message must be a string of 1 to 2000 characters",
      "this one is longer than 2000 characters.",
    ],
  },
  "an empty message": {
    call: (m) => m.enter("concurrent", { as: "alice", message: "" }),
    says: ["The option message must be a string of 1 to 2000 characters", "this one is empty."],
  },
  "a plan beyond the expiry": {
    call: (m) => m.enter("concurrent", { as: "alice", plannedForMs: 5000, expiresInMs: 4000 }),
    says: ["plannedForMs (5000) is longer than expiresInMs (4000)"],
  },
  "a plan of no time": {
    call: (m) => m.enter("concurrent", { as: "alice", plannedForMs: 0 }),
    says: ["The option plannedForMs must be a number of milliseconds from 1000 to"],
  },
  "a reason of 1001 characters in during": {
    call: (m) => m.during("concurrent", { as: "alice", reason: "r".repeat(1001) }, untouched),
    says: noReason("is longer than 1000 characters"),
  },
}

const noRetries = (shown: string) => ["retries must be a whole number of 0 or more", `not ${shown}.`]
const noEvent = (shown: string) => [`Unknown event "${shown}"`, "change, overdue, draining, refused"]
const others: Record<string, BadCall> = {
  "negative retries": {
    call: (m) => m.transaction(untouchedTransaction, { retries: -1 }),
    says: noRetries("-1"),
  },
  "half a retry": {
    call: (m) => m.transaction(untouchedTransaction, { retries: 0.5 }),
    says: noRetries("0.5"),
  },
  "endless retries": {
    call: (m) => m.transaction(untouchedTransaction, { retries: Infinity }),
    says: noRetries("Infinity"),
  },
  "retries that are no number": {
    call: (m) => m.transaction(untouchedTransaction, { retries: NaN }),
    says: noRetries("NaN"),
  },
  "retries that are a string": {
    call: (m) => m.transaction(untouchedTransaction, { retries: "3" as never }),
    says: noRetries("3"),
  },
  "runAs without a function": {
    call: (m) => m.runAs("bob", undefined as never),
    says: ["runAs() needs a function to run."],
  },
  "whenRefused without a function": {
    call: (m) => m.whenRefused("wait", undefined as never),
    says: ["whenRefused() needs a function to run."],
  },
  "transaction without a function": {
    call: (m) => m.transaction(undefined as never),
    says: ["transaction() needs a function to run."],
  },
  "transaction without a function, but with options": {
    call: (m) => m.transaction({ isolation: "SERIALIZABLE" } as never, { onRefused: "wait" }),
    says: ["transaction() needs a function to run."],
  },
  "an unknown event": { call: (m) => m.on("changed" as never, untouched as never), says: noEvent("changed") },
  "an event that objects have": {
    call: (m) => m.on("toString" as never, untouched as never),
    says: noEvent("toString"),
  },
}

/** Everything of bad calls while bob holds a window; all say who, since when and why. */
const strangers: Record<string, (maintenance: Maintenance) => unknown> = {
  enter: (m) => m.enter("concurrent", { as: "alice" }),
  "enter of the same mode": (m) => m.enter("exclusive", { as: "alice", reason: "urgent" }),
  "enter of normal": (m) => m.enter("normal", { as: "alice" }),
  "enter in the context of alice": (m) => m.runAs("alice", () => m.enter("concurrent")),
  leave: (m) => m.leave({ as: "alice" }),
  "leave as a user who differs in case": (m) => m.leave({ as: "Bob" }),
  "leave as a user who differs in a space": (m) => m.leave({ as: "bob " }),
  during: (m) => m.during("exclusive", { as: "alice" }, untouched),
}

const unknownSchema = ["Invalid schema name", "at most 40 lower-case letters, digits and underscores"]
const foreignSchema = ["cannot hold the maintenance state", "a schema that holds nothing else"]
const options: Record<string, { given: unknown; says: string[] }> = {
  "an unknown option": {
    given: { emergencyUser: ["root"] },
    says: ['Unknown option "emergencyUser"', "currentUser, emergencyUsers, schema, migrate"],
  },
  "options that are null": { given: null, says: ["options"] },
  "currentUser that is a user": {
    given: { currentUser: "alice" },
    says: ["currentUser", "must be a function"],
  },
  "currentUser that is null": { given: { currentUser: null }, says: ["currentUser", "must be a function"] },
  "emergencyUsers that are one user": {
    given: { emergencyUsers: "root" },
    says: ["emergencyUsers", "must be an array"],
  },
  "emergencyUsers that are a set": {
    given: { emergencyUsers: new Set(["root"]) },
    says: ["emergencyUsers", "must be an array"],
  },
  "an emergency user that is a number": {
    given: { emergencyUsers: ["root", 1] },
    says: ["emergencyUsers", "is not a string (number)"],
  },
  "an empty emergency user": { given: { emergencyUsers: [""] }, says: ["emergencyUsers", "is empty"] },
  "an emergency user of 201 characters": {
    given: { emergencyUsers: ["a".repeat(201)] },
    says: ["emergencyUsers", "is longer than 200 characters"],
  },
  "an emergency user with a null character": {
    given: { emergencyUsers: ["\0"] },
    says: ["emergencyUsers", "contains a null character"],
  },
  "migrate that is a word": { given: { migrate: "no" }, says: ["migrate", "true or false"] },
  "a journal that is kept for no day": {
    given: { journalDays: 0 },
    says: ["journalDays", "from 1 to 36500", "not 0"],
  },
  "a journal that is kept for half a day": {
    given: { journalDays: 0.5 },
    says: ["journalDays", "whole number"],
  },
  "a journal that is kept for more than a century": {
    given: { journalDays: 36_501 },
    says: ["journalDays", "from 1 to 36500"],
  },
  "a journal that is kept for ever": {
    given: { journalDays: Number.POSITIVE_INFINITY },
    says: ["journalDays", "not Infinity"],
  },
  "a schema in capitals": { given: { schema: "Maintenance" }, says: ['"Maintenance"', ...unknownSchema] },
  "a schema with a quote": {
    given: { schema: 'main"tenance' },
    says: [String.raw`"main\"tenance"`, ...unknownSchema],
  },
  "a schema with a dot": {
    given: { schema: "app.maintenance" },
    says: ['"app.maintenance"', ...unknownSchema],
  },
  "a schema with a line break": {
    given: { schema: "maintenance\n" },
    says: [String.raw`"maintenance\n"`, ...unknownSchema],
  },
  "a schema that begins with a digit": { given: { schema: "1st" }, says: ['"1st"', ...unknownSchema] },
  "a schema of 41 characters": {
    given: { schema: "s".repeat(41) },
    says: ["s".repeat(41), ...unknownSchema],
  },
  "an empty schema": { given: { schema: "" }, says: ['""', ...unknownSchema] },
  "a schema that is null": { given: { schema: null }, says: ["null", ...unknownSchema] },
  "a schema that is a number": { given: { schema: 7 }, says: ["7", ...unknownSchema] },
  "the schema public": { given: { schema: "public" }, says: ['"public"', ...foreignSchema] },
  "the schema information_schema": {
    given: { schema: "information_schema" },
    says: ['"information_schema"', ...foreignSchema],
  },
  "a schema of PostgreSQL": {
    given: { schema: "pg_maintenance" },
    says: ['"pg_maintenance"', ...foreignSchema],
  },
}

const noDataSource = "needs a TypeORM DataSource as its first argument"
const wrongType = (type: string) =>
  `Maintenance mode supports only "postgres", but the DataSource is of type "${type}".`
const dataSources: Record<string, { given: () => unknown; says: string }> = {
  "no DataSource": { given: () => undefined, says: noDataSource },
  "null for a DataSource": { given: () => null, says: noDataSource },
  "an empty object for a DataSource": { given: () => ({}), says: noDataSource },
  "the options of a DataSource": {
    given: () => ({ type: "postgres", url: "postgres://localhost/x" }),
    says: noDataSource,
  },
  "a DataSource of CockroachDB": {
    given: () =>
      new DataSource({ type: "cockroachdb", url: "postgres://localhost/x", timeTravelQueries: false }),
    says: wrongType("cockroachdb"),
  },
  "a DataSource of SQLite": {
    given: () => new DataSource({ type: "react-native", database: "x", location: "default", driver: {} }),
    says: wrongType("react-native"),
  },
}

describe("Bad input", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => installed.current.dataSource.synchronize())

  for (const [topic, calls] of Object.entries({ modes, entries, users, reasons, others })) {
    describe(topic, () => {
      for (const [name, { call, says }] of Object.entries(calls)) {
        it(`${name} is a MaintenanceInputError and changes nothing`, async () => {
          const { maintenance } = installed.current
          const before = await maintenance.status()
          const error = await thrown(MaintenanceInputError, () => call(maintenance))
          for (const part of says) expect(error.message).to.include(part)
          expect(await maintenance.status()).to.deep.equal(before)
          expect(before.mode).to.equal("normal")
        })
      }
    })
  }

  describe("limits", () => {
    it("a user of 200 characters and a reason of 1000 are accepted", async () => {
      const { maintenance } = installed.current
      const [user, reason] = ["ü".repeat(200), "日".repeat(1000)]
      expect(await maintenance.enter("concurrent", { as: user, reason })).to.include({
        maintainer: user,
        reason,
      })
      expect(await maintenance.leave({ as: user })).to.include({ mode: "normal" })
    })

    it("a schema of 40 characters is accepted", async () => {
      await withMaintenance(
        database.current.url,
        { plugin: { schema: "s".repeat(40) } },
        async ({ maintenance }) => {
          expect(await maintenance.enter("concurrent", { as: "alice" })).to.include({ mode: "concurrent" })
          await maintenance.leave({ as: "alice" })
        },
      )
    })

    it("a transaction of no retries is accepted", async () => {
      const { maintenance } = installed.current
      expect(await maintenance.transaction(async () => "done", { retries: 0 })).to.equal("done")
    })
  })

  describe("while somebody else holds a window", () => {
    before(() => installed.current.maintenance.enter("exclusive", { as: "bob", reason: "move the catalog" }))
    after(() => installed.current.maintenance.leave({ as: "bob" }))

    for (const [name, call] of Object.entries(strangers)) {
      it(`${name} is a NotMaintainerError that says who, since when and why, and changes nothing`, async () => {
        const { maintenance } = installed.current
        const before = await maintenance.status()
        const error = await thrown(NotMaintainerError, () => call(maintenance))
        const { since } = before
        expect(error.message).to.equal(
          `Mode not changed: exclusive maintenance by bob (move the catalog) since ${since?.toISOString()} is in force. ` +
            "Only bob or an emergency user may change it. Ask bob to leave, or wait until the window ends.",
        )
        expect(error).to.deep.include({
          mode: "exclusive",
          maintainer: "bob",
          reason: "move the catalog",
          since,
        })
        expect(await maintenance.status()).to.deep.equal(before)
      })
    }
  })

  describe("options", () => {
    for (const [name, { given, says }] of Object.entries(options)) {
      it(`${name}: a MaintenanceSetupError, and the DataSource is as before`, async () => {
        const dataSource = newDataSource(database.current.url)
        const before = shapeOf(dataSource)
        const error = await thrown(MaintenanceSetupError, () =>
          installMaintenance(dataSource, given as MaintenanceOptions),
        )
        for (const part of says) expect(error.message).to.include(part)
        expect(shapeOf(dataSource)).to.deep.equal(before)
      })
    }
  })

  describe("DataSources", () => {
    for (const [name, { given, says }] of Object.entries(dataSources)) {
      it(`${name}: a MaintenanceSetupError`, async () => {
        const error = await thrown(MaintenanceSetupError, () => installMaintenance(given() as DataSource))
        expect(error.message).to.include(says)
      })
    }

    it("one that has the plugin already: a MaintenanceSetupError, and the first plugin goes on", async () => {
      const { dataSource, maintenance } = installed.current
      const before = shapeOf(dataSource)
      const error = await thrown(MaintenanceSetupError, () => installMaintenance(dataSource))
      expect(error.message).to.include("installed in this DataSource already")
      expect(shapeOf(dataSource)).to.deep.equal(before)
      expect(await maintenance.during("concurrent", aWindow, () => "done")).to.equal("done")
    })

    it("one that is not initialized: entering is a MaintenanceSetupError that says what to call", async () => {
      const maintenance = installMaintenance(newDataSource(database.current.url))
      try {
        const error = await thrown(MaintenanceSetupError, () => maintenance.enter("concurrent", aWindow))
        expect(error.message).to.include("not initialized").and.include("initialize()")
      } finally {
        await maintenance.uninstall()
      }
    })

    it("one whose driver lacks what the plugin needs: a MaintenanceSetupError that names it and the versions", async () => {
      const dataSource = newDataSource(database.current.url)
      Object.defineProperty(dataSource.driver, "obtainSlaveConnection", { value: undefined })
      const error = await thrown(MaintenanceSetupError, () => installMaintenance(dataSource))
      expect(error.message)
        .to.include("obtainSlaveConnection()")
        .and.include("0.3.20 up to, but not including, 2")
        .and.match(/driver of \d+\.\d+\.\d+ has no/)
    })
  })

  describe("versions of TypeORM", () => {
    for (const version of [
      "0.2.45",
      "0.3.0",
      "0.3.19",
      "0.4.0",
      "2.0.0",
      "2.0.0-alpha.1",
      "10.0.0",
      "next",
      "",
    ]) {
      it(`${JSON.stringify(version)} is refused with the range that is supported`, async () => {
        const error = await thrown(MaintenanceSetupError, () => checkTypeormVersion(version))
        expect(error.message)
          .to.include(`its version is ${version}`)
          .and.include("0.3.20 up to, but not including, 2")
      })
    }

    for (const version of ["0.3.20", "0.3.31", "1.0.0", "1.0.0-beta.2", "1.1.1", "1.20.3", undefined]) {
      it(`${version ?? "an unknown one"} is accepted`, () => {
        expect(checkTypeormVersion(version)).to.equal(undefined)
      })
    }
  })

  describe("an application that cannot say who is asking", () => {
    const outage = new Error("the session store is down")
    const answers: Record<string, { currentUser: () => unknown; says: string[]; cause?: unknown }> = {
      throws: {
        currentUser: () => {
          throw outage
        },
        says: ["The option currentUser threw an error (", "the current user is not known"],
        cause: outage,
      },
      "returns a number beyond 2^53": {
        currentUser: () => 2 ** 53,
        says: [
          "currentUser returned a number that is not a safe integer (9007199254740992)",
          "or an integer",
        ],
      },
      "returns no number": {
        currentUser: () => Number.NaN,
        says: ["currentUser returned a number that is not a safe integer (NaN)", "or an integer"],
      },
      "returns an object": {
        currentUser: () => ({ id: 7 }),
        says: ["The option currentUser returned an object", "A user must be a string"],
      },
      "returns a promise": {
        currentUser: async () => "alice",
        says: ["The option currentUser returned a promise", "AsyncLocalStorage", "runAs()"],
      },
      "returns a promise that fails": {
        currentUser: () => Promise.reject(outage),
        says: ["The option currentUser returned a promise", "AsyncLocalStorage", "runAs()"],
      },
      "returns 201 characters": {
        currentUser: () => "a".repeat(201),
        says: ["currentUser", "200 characters"],
      },
      "returns a null character": { currentUser: () => "al\0ice", says: ["currentUser", "null character"] },
    }
    const statements: Record<string, (dataSource: DataSource, maintenance: Maintenance) => Promise<unknown>> =
      {
        "a write": (d) => d.query("insert into item (name) values ('crate')"),
        "a read": (d) => d.query("select 1"),
        save: (d) => d.getRepository(Item).save({ name: "crate" }),
        "a transaction": (d) => d.transaction((manager) => manager.insert(Item, { name: "crate" })),
        enter: (_, m) => m.enter("concurrent"),
        leave: (_, m) => m.leave(),
      }

    /** One connection, and an option currentUser that answers as it is told; at first it knows nobody. */
    const withApplication = (
      work: (installed: Installed, answer: (currentUser: () => unknown) => void) => Promise<void>,
    ) => {
      let ask: () => unknown = () => undefined
      const plugin = { currentUser: () => ask() as string | undefined }
      return withMaintenance(database.current.url, { plugin, poolSize: 1 }, (application) =>
        work(application, (currentUser) => {
          ask = currentUser
        }),
      )
    }

    beforeEach(() => database.current.sql("truncate item cascade"))

    for (const [fault, { currentUser, says, cause }] of Object.entries(answers)) {
      const expectFault = (error: Error, name: string) => {
        for (const part of says) expect(error.message, name).to.include(part)
        expect(error.cause, name).to.equal(cause)
      }

      it(`every statement fails closed when currentUser ${fault}`, async () => {
        await withApplication(async ({ dataSource, maintenance }, answer) => {
          const before = await maintenance.status()
          answer(currentUser)
          for (const [name, run] of Object.entries(statements)) {
            expectFault(await thrown(MaintenanceSetupError, () => run(dataSource, maintenance), name), name)
          }
          answer(() => undefined)
          expect(await maintenance.status()).to.deep.equal(before)
          expect(await dataSource.getRepository(Item).count()).to.equal(0)
        })
      })

      it(`a commit fails closed when currentUser ${fault}, and the connection is clean`, async () => {
        await withApplication(async ({ dataSource }, answer) => {
          const error = await thrown(MaintenanceSetupError, () =>
            dataSource.transaction(async (manager) => {
              await manager.insert(Item, { name: "crate" })
              answer(currentUser)
            }),
          )
          expectFault(error, "commit")
          answer(() => undefined)
          await dataSource.transaction((manager) => manager.query("select 1"))
          expect(await dataSource.getRepository(Item).count()).to.equal(0)
        })
      })

      it(`a transaction that fails by itself is rolled back when currentUser ${fault}`, async () => {
        await withApplication(async ({ dataSource }, answer) => {
          const failure = await thrown(RangeError, () =>
            dataSource.transaction(async (manager) => {
              await manager.insert(Item, { name: "crate" })
              answer(currentUser)
              throw new RangeError("out of stock")
            }),
          )
          expect(failure.message).to.equal("out of stock")
          answer(() => undefined)
          await dataSource.transaction((manager) => manager.query("select 1"))
          expect(await dataSource.getRepository(Item).count()).to.equal(0)
        })
      })

      it(`a rollback by hand passes when currentUser ${fault}`, async () => {
        await withApplication(async ({ dataSource }, answer) => {
          const runner = dataSource.createQueryRunner()
          try {
            await runner.startTransaction()
            await runner.manager.insert(Item, { name: "crate" })
            answer(currentUser)
            await runner.rollbackTransaction()
          } finally {
            await runner.release()
          }
          answer(() => undefined)
          await dataSource.transaction((manager) => manager.query("select 1"))
          expect(await dataSource.getRepository(Item).count()).to.equal(0)
        })
      })
    }

    for (const answer of [undefined, null, ""]) {
      it(`${JSON.stringify(answer) ?? "undefined"} is no fault: the code acts for nobody`, async () => {
        const plugin = { currentUser: () => answer }
        await withMaintenance(database.current.url, { plugin }, async ({ dataSource, maintenance }) => {
          expect(await dataSource.query("select 1 as one")).to.deep.equal([{ one: 1 }])
          const error = await thrown(MaintenanceInputError, () => maintenance.enter("concurrent"))
          for (const part of nobody) expect(error.message).to.include(part)
        })
      })
    }
  })
})

/** What a DataSource and its driver have of their own, to find out whether something was changed. */
function shapeOf(dataSource: DataSource): unknown {
  return [dataSource, dataSource.driver].map((host) => [
    Reflect.ownKeys(host),
    host.constructor,
    Object.getOwnPropertyDescriptor(host, "createQueryRunner")?.value,
  ])
}

/** The error of exactly this class that a call throws, or its promise rejects with. */
async function thrown<E extends Error>(
  Class: new (message: string) => E,
  work: () => unknown,
  name = "",
): Promise<E> {
  let error: unknown
  try {
    await work()
  } catch (caught) {
    error = caught
  }
  expect(error, name).to.be.instanceOf(Class)
  expect((error as Error).constructor, name).to.equal(Class)
  return error as E
}

describe("A version of PostgreSQL", () => {
  it("before 14 is refused", () => {
    expect(() => checkServerVersion(130_021)).to.throw(
      MaintenanceSetupError,
      "PostgreSQL 13 is not supported: typeorm-maintenance-mode needs PostgreSQL 14 or later.",
    )
  })

  it("from 14 on is not", () => {
    for (const version of [140_000, 150_018, 180_004])
      expect(() => checkServerVersion(version)).not.to.throw()
  })
})

describe("Options that are none", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)

  const calls: Record<string, (maintenance: Maintenance) => Promise<unknown>> = {
    "enter with null": (m) => m.enter("concurrent", null as never),
    "enter with a user in their place": (m) => m.enter("concurrent", "alice" as never),
    "enter with a slip of the pen": (m) => m.enter("concurrent", { as: "alice", reson: "rebuild" } as never),
    "leave with null": (m) => m.leave(null as never),
    "during with undefined": (m) => m.during("concurrent", null as never, () => 1),
    "during with nothing to run": (m) => m.during("concurrent", { as: "alice" }, undefined as never),
    "transaction with null": (m) => m.transaction(() => Promise.resolve(), null as never),
    "transaction with a slip of the pen": (m) =>
      m.transaction(() => Promise.resolve(), { retry: 3 } as never),
  }
  for (const [name, call] of Object.entries(calls)) {
    it(`${name} are a MaintenanceInputError and change nothing`, async () => {
      const { maintenance } = installed.current
      const before = await maintenance.status()
      const error: unknown = await call(maintenance).catch((failure: unknown) => failure)
      expect(error).to.be.instanceOf(MaintenanceInputError)
      expect(await maintenance.status()).to.deep.equal(before)
    })
  }

  it("for maintenanceSchemaSql are a MaintenanceSetupError", () => {
    for (const wrong of [{ rolle: "shop" }, { role: "" }, { role: 5 }]) {
      expect(() => maintenanceSchemaSql(wrong as never)).to.throw(MaintenanceSetupError)
    }
  })

  it("after uninstall() nothing can be entered", async () => {
    const { maintenance } = installed.current
    await maintenance.uninstall()
    const error: unknown = await maintenance
      .enter("concurrent", { as: "alice" })
      .catch((failure: unknown) => failure)
    expect(error).to.be.instanceOf(MaintenanceSetupError)
  })

  it("a call before initialize() fails, and initialize() works after it", async () => {
    const dataSource = newDataSource(database.current.url)
    const maintenance = installMaintenance(dataSource)
    const error: unknown = await maintenance.status().catch((failure: unknown) => failure)
    expect(error).to.be.instanceOf(MaintenanceSetupError)
    await dataSource.initialize()
    expect(await maintenance.status()).to.include({ mode: "normal" })
    await dataSource.destroy()
    await maintenance.uninstall()
  })

  it("of a user whom the encoding of the database lacks is said, and nothing is committed for him", async () => {
    const latin = await TestDatabase.create("LATIN1")
    await withMaintenance(latin.url, {}, async ({ dataSource, maintenance }) => {
      await dataSource.query("create table item (name text)")
      const insert = "insert into item values ('crate')"
      for (const work of [
        () => dataSource.transaction((manager) => manager.query(insert)),
        () => maintenance.enter("concurrent"),
      ]) {
        const error = await errorOf(maintenance.runAs("Łukasz", work))
        expect(error).to.be.instanceOf(MaintenanceInputError)
        expect((error as Error).message).to.match(
          /^The user or the reason contains a character that the encoding of this database lacks .*"LATIN1"/,
        )
      }
      expect(await dataSource.query("select from item")).to.deep.equal([])
      expect(await maintenance.status()).to.include({ mode: "normal" })
    })
    await latin.drop()
  })
})
