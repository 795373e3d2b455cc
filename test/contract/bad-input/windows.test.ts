import { expect } from "chai"
import { type Maintenance, MaintenanceInputError } from "../../../src"
import { useMaintenance } from "../../support/data-source"
import { useDatabase } from "../../support/database"
import { badCalls, badOptions, itRejects } from "./bad-call"

const alice = { as: "alice" }
const work = () => expect.fail("the work ran")
const enter = (given: object) => (m: Maintenance) => m.enter("concurrent", { ...alice, ...given })

const noDuration = { "-1": -1, NaN, Infinity, 2147483648: 2 ** 31, "'5s'": "5s", null: null }
const noDelay = { "-1": -1, 0: 0, 999: 999, NaN, 2147483648: 2 ** 31, "'1h'": "1h", null: null }
const noCount = { 0: 0, "-1": -1, 1.5: 1.5, NaN, Infinity, 2147483648: 2 ** 31, "'2'": "2", null: null }
const noDate = {
  "Invalid Date": new Date(NaN),
  4102444800000: 4_102_444_800_000,
  "'2100-01-01T00:00:00Z'": "2100-01-01T00:00:00Z",
  "{}": {},
  null: null,
}
const breaks = (rule: string) => `The option %o must be ${rule}, not %s.`
const duration = breaks("a number of milliseconds from 0 to 2147483647")
const delay = breaks("a number of milliseconds from 1000 to 2147483647")
const reason = (fault: string) =>
  `The option reason must be a string of 1 to 1000 characters, but this one ${fault}.`
const text = (fault: string) =>
  `The option message must be a string of 1 to 2000 characters, but this one ${fault}.`
const past =
  "The window was not opened: its start is in the past; it is already <time> on the clock of the database. Choose a later time."
const noDrain = "The option drain must be an object of withinMs, then, not %s."
const aliveOnly =
  'The options graceMs and "then" require heldWhile: "alive". For in-flight transactions, use drain.then.'

const ofEnter = badOptions(
  "enter()",
  [
    ["acknowledgeWithinMs", duration, noDuration],
    ["drain.withinMs", duration, noDuration],
    ["drain.then", breaks("one of proceed, cancel, terminate, abandon"), { "'kill'": "kill" }],
    ["drain.within", 'Unknown option "drain.within". Known options are withinMs, then.', [5]],
    ["drain", noDrain, { null: null, 5: 5 }],
    ["expiresInMs", delay, noDelay],
    ["startsInMs", delay, { ...noDelay, Infinity }],
    ["plannedForMs", delay, { 0: 0 }],
    ["startsAt", breaks("a valid Date"), noDate],
    ["startsAt", past, [new Date(0), new Date(-1e14)]],
    [
      "startsAt",
      "The option startsAt is in the past: -271821-04-20 00:00:00 UTC. Pass a later time.",
      [new Date(-8.64e15)],
    ],
    ["readers", breaks("a whole number from 1 to 2147483647"), noCount],
    ["signal", breaks("an AbortSignal"), { "'SIGINT'": "SIGINT" }],
    ["heldWhile", breaks('"alive" or omitted'), { "'connected'": "connected" }],
    ["leaveOnSignal", breaks("true or false"), { 1: 1 }],
    ["graceMs", aliveOnly, [5000]],
    ["then", aliveOnly, ["stay"]],
    ["reason", reason("is empty"), ["", "  "]],
    ["reason", reason("is longer than 1000 characters"), ["r".repeat(1001)]],
    ["reason", reason("contains a null character"), ["re\0index"]],
    ["reason", reason("is not a string (%s)"), { number: 42, null: null }],
    ["message", text("is empty"), [""]],
    ["message", text("is longer than 2000 characters"), ["m".repeat(2001)]],
  ],
  enter,
)
const ofHeldWindow = badOptions(
  "enter() of a held window",
  [
    ["graceMs", delay, { 999: 999 }],
    ["then", breaks('"end" or "stay"'), { "'terminate'": "terminate" }],
  ],
  (given) => enter({ heldWhile: "alive", ...(given as object) }),
)
const ofExtend = badOptions(
  "extend()",
  [["expiresInMs", delay, noDelay]],
  (given) => (m: Maintenance) => m.extend({ ...alice, ...(given as { expiresInMs: number }) }),
)

const lacks = (why: string) =>
  `announce() does not support the option %o: ${why}. Supported options are as, reason, message, plannedForMs, expiresInMs, ` +
  "startsInMs, startsAt, readers, drain, acknowledgeWithinMs."
const noProcess =
  "any instance may begin the window, so it is tied to no process; use expiresInMs to limit it"
const returns = "announce() returns immediately, and cancel() cancels the window"
const stands = "the window begins and stands independently of this process"
const ofAnnounce = badOptions(
  "announce()",
  [
    ["signal", lacks(returns), { "a signal": AbortSignal.abort() }],
    ["leaveOnSignal", lacks(stands), [true]],
    ["heldWhile", lacks(noProcess), ["alive"]],
    ["graceMs", lacks(noProcess), [5000]],
    ["then", lacks(noProcess), ["end"]],
  ],
  (given) => (m: Maintenance) =>
    m.announce("concurrent", { ...alice, startsInMs: 5000, ...(given as object) }),
)

const noUser = (fault: string) =>
  `The user in the option "to" must be a string of 1 to 200 characters, but this one ${fault}.`
const calls = badCalls<Maintenance>({
  [past]: (m) => m.announce("concurrent", { ...alice, startsAt: new Date(0) }),
  "The window was not opened: its start is more than a year away; it is only <time> on the clock of the database. Choose an earlier time.":
    (m) => m.announce("concurrent", { ...alice, startsAt: new Date("9999-01-01") }),
  "announce() needs startsInMs or startsAt. To begin a window now, call enter().": (m) =>
    m.announce("concurrent", alice),
  "Normal mode cannot be announced. Announce another mode, or call leave() now.": [
    (m) => m.announce("normal", { ...alice, startsInMs: 5000 }),
    (m) => m.enter("normal", { ...alice, startsInMs: 5000 }),
  ],
  "The options startsAt and startsInMs exclude each other. Pass only one of them.": (m) =>
    m.enter("concurrent", { ...alice, startsAt: new Date("2100-01-01"), startsInMs: 5000 }),
  "The option startsInMs must be a number of milliseconds from 1000 to 2147483647, not 1.": (m) =>
    m.during("exclusive", { ...alice, startsInMs: 1 }, work),
  "The option plannedForMs (5000) is longer than expiresInMs (4000), so the window would end before its work is done. Pass a shorter plannedForMs or a longer expiresInMs.":
    (m) => m.enter("concurrent", { ...alice, plannedForMs: 5000, expiresInMs: 4000 }),
  [reason("is longer than 1000 characters")]: (m) =>
    m.during("concurrent", { ...alice, reason: "r".repeat(1001) }, work),
  "The option readers is for concurrent mode only, because other users cannot read in exclusive mode. Omit it.":
    (m) => m.enter("exclusive", { ...alice, readers: 2 }),
  "cancel() needs the id of a window, as returned by announce() or status().": [
    (m) => m.cancel("", alice),
    (m) => m.cancel(7 as never, alice),
    (m) => m.cancel(null as never, alice),
    (m) => m.cancel(undefined as never, alice),
    (m) => m.cancel("a\0b", alice),
  ],
  "There is nothing to cancel: no window has this id. Look at status().windows.": (m) =>
    m.cancel("4711", alice),
  "The option windowOnly must be true or false, not 'yes'.": (m) =>
    m.leave({ ...alice, windowOnly: "yes" as never }),
  "The option ifHeld must be true or false, not 'yes'.": (m) => m.leave({ ...alice, ifHeld: "yes" as never }),
  "There is no maintenance to extend: the mode is already normal.": (m) =>
    m.extend({ ...alice, expiresInMs: 5000 }),
  "There is no maintenance to hand over: the mode is already normal.": (m) =>
    m.transfer({ ...alice, to: "bob" }),
  [noUser("is not a string (undefined)")]: (m) => m.transfer(alice as never),
  [noUser("is empty")]: (m) => m.transfer({ ...alice, to: "" }),
})

const overlong =
  "The window was not opened: its work is planned until <time>, but without expiresInMs it keeps the end of the window below, " +
  "<time>. Pass a shorter plannedForMs, or pass expiresInMs as well."
const plannedForMs = 7_200_000
const withinHeld = badCalls<Maintenance>({
  [overlong]: [
    (m) => m.enter("exclusive", { ...alice, plannedForMs }),
    (m) => m.enter("concurrent", { ...alice, plannedForMs, heldWhile: "alive" }),
    (m) => m.during("exclusive", { ...alice, plannedForMs }, work),
  ],
})

describe("Bad input for a window", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  beforeEach(async () => expect(await installed.current.maintenance.status()).to.include({ mode: "normal" }))

  itRejects(MaintenanceInputError, [...ofEnter, ...ofHeldWindow, ...ofExtend, ...ofAnnounce, ...calls], {
    subject: () => installed.current.maintenance,
    stateOf: (maintenance) => maintenance.status(),
  })
})

describe("Bad input within a held window", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  beforeEach(() => installed.current.maintenance.enter("concurrent", { ...alice, expiresInMs: 3_600_000 }))
  afterEach(() => installed.current.maintenance.leave(alice))

  itRejects(MaintenanceInputError, withinHeld, {
    subject: () => installed.current.maintenance,
    stateOf: async (maintenance) => {
      const { retryAfterMs: _, instances: __, ...status } = await maintenance.status()
      return status
    },
  })
})
