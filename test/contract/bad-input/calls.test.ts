import { expect } from "chai"
import {
  type Maintenance,
  MaintenanceInputError,
  type MaintenanceStatus,
  NotMaintainerError,
} from "../../../src"
import { timeText } from "../../../src/text"
import { useMaintenance, withMaintenance } from "../../support/data-source"
import { TestDatabase, useDatabase } from "../../support/database"
import { badCalls, badOptions, itRejects, thrown } from "./bad-call"

const alice = { as: "alice" }
const work = () => expect.fail("the work ran")
const begun = async () => work()

const unknownMode = "Unknown mode %s. Use one of normal, concurrent, exclusive."
const unknownTexts = {
  '"readonly"': "readonly",
  '"EXCLUSIVE"': "EXCLUSIVE",
  '"constructor"': "constructor",
  '""': "",
}
const noTexts = { undefined, null: null, 1: 1, "1n": 1n, "Symbol(x)": Symbol("x") }
const modes = [
  ...badOptions(
    "enter()",
    [["mode", unknownMode, { ...unknownTexts, ...noTexts }]],
    ({ mode }) =>
      (m: Maintenance) =>
        m.enter(mode, alice),
  ),
  ...badCalls<Maintenance>({
    'Unknown mode "readonly". Use one of normal, concurrent, exclusive.': (m) =>
      m.during("readonly" as never, alice, work),
    'during("normal") makes no sense. Name the mode to enter: "concurrent" or "exclusive".': (m) =>
      m.during("normal", alice, work),
    "There is no maintenance to leave: the mode is already normal. If that is expected, pass ifHeld: true.": [
      (m) => m.leave(alice),
      (m) => m.enter("normal", alice),
    ],
  }),
]

const badUser = (fault: string) => `A user must be a string of 1 to 200 characters, but this one ${fault}.`
const badUsers = [
  ["as", badUser("is empty"), ["", " \n\t"]],
  ["as", badUser("is longer than 200 characters"), ["a".repeat(201)]],
  ["as", badUser("contains a null character"), ["\0", "al\0ice"]],
  ["as", badUser("is not a string (%s)"), { number: 7, null: null, object: { name: "alice" } }],
] as const
const users = [
  ...badOptions("enter()", badUsers, (given) => (m: Maintenance) => m.enter("concurrent", given)),
  ...badOptions("leave()", badUsers, (given) => (m: Maintenance) => m.leave(given)),
  ...badOptions("during()", badUsers, (given) => (m: Maintenance) => m.during("exclusive", given, work)),
  ...badOptions(
    "runAs()",
    badUsers,
    ({ as }) =>
      (m: Maintenance) =>
        m.runAs(as, work),
  ),
  ...badCalls<Maintenance>({
    [badUser("is not a string (undefined)")]: (m) => m.runAs(undefined as never, work),
    "The mode was not changed, because no user is known for this call. Pass `as`, call within runAs(), or set the option currentUser.":
      [
        (m) => m.enter("concurrent"),
        (m) => m.enter("normal"),
        (m) => m.announce("concurrent", { startsInMs: 5000 }),
        (m) => m.cancel("4711"),
        (m) => m.leave(),
        (m) => m.during("exclusive", {}, work),
      ],
  }),
]

const noRetries = "The option retries must be a whole number of 0 or more, not %s."
const noPolicy = 'The policy must be "throw" or "wait", not %s.'
const noMoment = 'The option vetoAt must be "commit" or "write", not %s.'
const options = [
  ...badOptions(
    "transaction()",
    [["retries", noRetries, { "-1": -1, 0.5: 0.5, Infinity, NaN, 3: "3" }]],
    (given) => (m: Maintenance) => m.transaction(begun, given),
  ),
  ...badOptions(
    "progress()",
    [
      [
        "done",
        "The option progress.done must be a number of 0 or more, not %s.",
        { "-1": -1, NaN, Infinity, "'half'": "half", undefined: undefined },
      ],
    ],
    ({ done }) =>
      (m: Maintenance) =>
        m.progress({ done }, alice),
  ),
  ...badOptions(
    "progress()",
    [
      ["total", "The option progress.total must be a number of 0 or more, not %s.", { "-1": -1, NaN }],
      [
        "note",
        "The option progress.note must be a string of 1 to 200 characters, but this one %s.",
        { "is empty": "", "is longer than 200 characters": "n".repeat(201) },
      ],
      ["percent", 'Unknown option "progress.percent". Known options are done, total, note.', [5]],
    ],
    (given) => (m: Maintenance) => m.progress({ done: 1, ...(given as object) }, alice),
  ),
  ...badOptions(
    "blockers()",
    [
      ["mode", unknownMode, { '"readonly"': "readonly" }],
      ["mode", "Nothing is waited for to return to normal mode.", ["normal"]],
      ["of", 'Unknown option "of". Known options are as, mode.', ["alice"]],
    ],
    (given) => (m: Maintenance) => m.blockers(given),
  ),
  ...badOptions(
    "refusals()",
    [
      [
        "since",
        "The option since must be a valid Date, not %s.",
        { "'today'": "today", "Invalid Date": new Date("soon") },
      ],
      [
        "since",
        "The option since must be at most 7 days ago. The journal has the refusals of earlier windows.",
        [new Date(0)],
      ],
      ["limit", 'Unknown option "limit". Known options are since.', [5]],
    ],
    (given) => (m: Maintenance) => m.refusals(given),
  ),
  ...badOptions(
    "runAs()",
    [
      ["vetoAt", noMoment, { "'later'": "later", "'WRITE'": "WRITE", null: null, true: true }],
      ["onRefused", noPolicy, { "'later'": "later" }],
      ["veto", 'Unknown option "veto". Known options are onRefused, vetoAt.', ["write"]],
    ],
    (given) => (m: Maintenance) => m.runAs("bob", work, given),
  ),
]

const enterTakes =
  "as, reason, message, plannedForMs, expiresInMs, heldWhile, graceMs, then, startsInMs, startsAt, readers, drain, acknowledgeWithinMs, leaveOnSignal, signal"
const announceTakes =
  "as, reason, message, plannedForMs, expiresInMs, startsInMs, startsAt, readers, drain, acknowledgeWithinMs"
const others = badCalls<Maintenance>({
  [`The options must be an object of ${enterTakes}, not null.`]: [
    (m) => m.enter("concurrent", null as never),
    (m) => m.during("concurrent", null as never, work),
  ],
  [`The options must be an object of ${enterTakes}, not 'alice'.`]: (m) =>
    m.enter("concurrent", "alice" as never),
  [`The options must be an object of ${announceTakes}, not undefined.`]: (m) =>
    m.announce("concurrent", undefined as never),
  [`Unknown option "reson". Known options are ${announceTakes}.`]: (m) =>
    m.announce("concurrent", { ...alice, startsInMs: 5000, reson: "rebuild" } as never),
  [`Unknown option "reson". Known options are ${enterTakes}.`]: (m) =>
    m.enter("concurrent", { ...alice, reson: "rebuild" } as never),
  "The options must be an object of as, ifHeld, windowOnly, not null.": (m) => m.leave(null as never),
  "The options must be an object of isolation, retries, onRefused, not null.": (m) =>
    m.transaction(begun, null as never),
  'Unknown option "retry". Known options are isolation, retries, onRefused.': (m) =>
    m.transaction(begun, { retry: 3 } as never),
  "runAs() needs a function to run.": (m) => m.runAs("bob", undefined as never),
  "whenRefused() needs a function to run.": (m) => m.whenRefused("wait", undefined as never),
  "during() needs a function to run.": (m) => m.during("concurrent", alice, undefined as never),
  "transaction() needs a function to run.": [
    (m) => m.transaction(undefined as never),
    (m) => m.transaction({ isolation: "SERIALIZABLE" } as never, { onRefused: "wait" }),
  ],
  'The policy must be "throw" or "wait", not \'later\'.': (m) => m.whenRefused("later" as never, work),
  'Unknown event "changed". The events are change, overdue, draining, refused.': (m) =>
    m.on("changed" as never, work as never),
  'Unknown event "toString". The events are change, overdue, draining, refused.': (m) =>
    m.on("toString" as never, work as never),
})

const heldByBob =
  "Mode not changed: exclusive maintenance by bob (move the catalog) since <time> is in force. Only bob or an emergency user may change it. Ask bob to leave. The window has no set end: it lasts until bob or an emergency user ends it."
const ofOthers = badCalls<Maintenance>({
  [heldByBob]: [
    (m) => m.enter("concurrent", alice),
    (m) => m.enter("exclusive", { ...alice, reason: "urgent" }),
    (m) => m.enter("normal", alice),
    (m) => m.runAs("alice", () => m.enter("concurrent")),
    (m) => m.leave(alice),
    (m) => m.leave({ as: "Bob" }),
    (m) => m.leave({ as: "bob " }),
    (m) => m.during("exclusive", alice, work),
  ],
})

describe("Bad input of a call", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  const fixture = {
    subject: () => installed.current.maintenance,
    stateOf: (maintenance: Maintenance) => maintenance.status(),
  }

  describe("in normal mode", () => {
    beforeEach(async () =>
      expect(await installed.current.maintenance.status()).to.include({ mode: "normal" }),
    )
    itRejects(MaintenanceInputError, [...modes, ...users, ...options, ...others], fixture)
  })

  describe("while bob holds a window", () => {
    before(() => installed.current.maintenance.enter("exclusive", { as: "bob", reason: "move the catalog" }))
    after(() => installed.current.maintenance.leave({ as: "bob" }))
    const check = (error: Error, { since }: MaintenanceStatus) => {
      expect(error.message).to.include(
        `exclusive maintenance by bob (move the catalog) since ${timeText(since as Date)} is in force.`,
      )
      const window = { mode: "exclusive", maintainer: "bob", reason: "move the catalog", since }
      expect(error).to.deep.include(window)
    }
    itRejects(NotMaintainerError, ofOthers, { ...fixture, check })
  })

  it("a user that the encoding of the database lacks is rejected, and nothing is committed", async () => {
    const latin = await TestDatabase.create("LATIN1")
    await withMaintenance(latin.url, {}, async ({ dataSource, maintenance }) => {
      await dataSource.query("create table item (name text)")
      const insert = "insert into item values ('crate')"
      for (const call of [
        () => dataSource.transaction((manager) => manager.query(insert)),
        () => maintenance.enter("concurrent"),
      ]) {
        const error = await thrown(MaintenanceInputError, () => maintenance.runAs("Łukasz", call))
        expect(error.message).to.match(
          /^The user, the reason or the message contains a character that the encoding of this database lacks \(.*"LATIN1"/,
        )
      }
      expect(await dataSource.query("select from item")).to.deep.equal([])
      expect(await maintenance.status()).to.include({ mode: "normal" })
    })
    await latin.drop()
  })
})

describe("The limits of input", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)

  it("accept a user of 200 characters and a reason of 1000", async () => {
    const { maintenance } = installed.current
    const [user, reason] = ["ü".repeat(200), "日".repeat(1000)]
    expect(await maintenance.enter("concurrent", { as: user, reason })).to.include({
      maintainer: user,
      reason,
    })
    expect(await maintenance.leave({ as: user })).to.include({ mode: "normal" })
  })

  it("accept a schema of 40 characters", async () => {
    const plugin = { schema: "s".repeat(40) }
    await withMaintenance(database.current.url, { plugin }, async ({ maintenance }) => {
      expect(await maintenance.enter("concurrent", alice)).to.include({ mode: "concurrent" })
      await maintenance.leave(alice)
    })
  })

  it("accept a transaction without retries", async () => {
    const { maintenance } = installed.current
    expect(await maintenance.transaction(async () => "done", { retries: 0 })).to.equal("done")
  })
})
