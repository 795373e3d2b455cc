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
const breaks = (rule: string) => `The option %o is ${rule}; this one is %s.`
const duration = breaks("a number of milliseconds from 0 to 2147483647")
const delay = breaks("a number of milliseconds from 1000 to 2147483647")
const reason = (fault: string) => `A reason must be a string of 1 to 1000 characters, but this one ${fault}.`
const text = (fault: string) => `A message must be a string of 1 to 2000 characters, but this one ${fault}.`
const past = "A window cannot begin at that time: it is <time> already, by the database's clock."
const noDrain = "The option drain must be an object of withinMs, then, not %s."
const aliveOnly =
  'The options graceMs and then make sense with heldWhile: "alive" only; what others have running is drain.then.'

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
    ["startsAt", "The option startsAt is past: -271821-04-20T00:00:00.000Z.", [new Date(-8.64e15)]],
    ["readers", breaks("a whole number from 1 up"), noCount],
    ["signal", breaks("an AbortSignal"), { "'SIGINT'": "SIGINT" }],
    ["heldWhile", breaks('"alive", or not given'), { "'connected'": "connected" }],
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
  `announce() does not take the option %o: ${why}. It takes as, reason, message, plannedForMs, expiresInMs, ` +
  "startsInMs, startsAt, readers, drain, acknowledgeWithinMs."
const noProcess = "any instance begins the window, so that it is tied to no process; expiresInMs bounds it"
const returns = "announce() returns at once: cancel() takes the window back"
const stands = "the window begins and stands whatever becomes of this process"
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
  `The option to is a user: a string of 1 to 200 characters, but this one ${fault}.`
const calls = badCalls<Maintenance>({
  [past]: (m) => m.announce("concurrent", { ...alice, startsAt: new Date(0) }),
  "A window cannot begin at that time: it is only <time>, and a window begins within a year, by the database's clock.":
    (m) => m.announce("concurrent", { ...alice, startsAt: new Date("9999-01-01") }),
  "announce() needs startsInMs or startsAt; enter() begins at once.": (m) => m.announce("concurrent", alice),
  "Normal mode cannot be announced: name another, or leave at once.": [
    (m) => m.announce("normal", { ...alice, startsInMs: 5000 }),
    (m) => m.enter("normal", { ...alice, startsInMs: 5000 }),
  ],
  "The options startsAt and startsInMs say the same: give one of them.": (m) =>
    m.enter("concurrent", { ...alice, startsAt: new Date("2100-01-01"), startsInMs: 5000 }),
  "The option startsInMs is a number of milliseconds from 1000 to 2147483647; this one is 1.": (m) =>
    m.during("exclusive", { ...alice, startsInMs: 1 }, work),
  "The option plannedForMs (5000) is longer than expiresInMs (4000): the window would end before its work is done.":
    (m) => m.enter("concurrent", { ...alice, plannedForMs: 5000, expiresInMs: 4000 }),
  [reason("is longer than 1000 characters")]: (m) =>
    m.during("concurrent", { ...alice, reason: "r".repeat(1001) }, work),
  "The option readers makes sense in concurrent mode only: in exclusive mode nobody else reads.": (m) =>
    m.enter("exclusive", { ...alice, readers: 2 }),
  "cancel() needs the id of a window, as announce() or status() tells it.": [
    (m) => m.cancel("", alice),
    (m) => m.cancel(7 as never, alice),
    (m) => m.cancel(null as never, alice),
    (m) => m.cancel(undefined as never, alice),
    (m) => m.cancel("a\0b", alice),
  ],
  "There is nothing to cancel: no window has this id. Look at status().windows.": (m) =>
    m.cancel("4711", alice),
  "The option ifHeld is true or false; this one is 'yes'.": (m) =>
    m.leave({ ...alice, ifHeld: "yes" as never }),
  "There is no maintenance to extend: the mode is normal already.": (m) =>
    m.extend({ ...alice, expiresInMs: 5000 }),
  "There is no maintenance to hand over: the mode is normal already.": (m) =>
    m.transfer({ ...alice, to: "bob" }),
  [noUser("is not a string (undefined)")]: (m) => m.transfer(alice as never),
  [noUser("is empty")]: (m) => m.transfer({ ...alice, to: "" }),
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
