import { expect } from "chai"
import { withMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { enterSql } from "../support/enter-sql"
import { plansOf, scansIn } from "../support/plans"

const alice = { acting_user: "alice" }
const start = { id: "announced", mode: "exclusive", is_emergency: false, within_ms: 0, ...alice }

/** Calls of processes and operators, in a possible order. */
const calls = [
  enterSql({ id: "first", mode: "concurrent", ...alice, expires_in_ms: 60_000 }),
  "select maintenance.end_entering(epoch, 'first') from maintenance.state",
  enterSql({ id: "task", mode: "exclusive", ...alice, task: "task", within_task: undefined }),
  enterSql({ id: "within", mode: "concurrent", ...alice, task: "task", within_task: "task" }),
  "select maintenance.end_entering(epoch, 'within') from maintenance.state",
  "select maintenance.read_state(true), maintenance.windows(), maintenance.status()",
  "select maintenance.extend('alice', false, 50000)",
  "select maintenance.renew('lease')",
  "select maintenance.register('host', 1, '', 1, '{task,first}', 7)",
  "select maintenance.give_up(7)",
  "select maintenance.finish('task')",
  enterSql({ id: "third", mode: "exclusive", ...alice }),
  "select maintenance.interrupt_entering('third')",
  "select maintenance.abandon(epoch, 'third', 'alice', false) from maintenance.state",
  "select maintenance.transfer('alice', false, 'bob')",
  "select maintenance.leave('bob', false)",
  `select maintenance.announce('${JSON.stringify({ ...start, starts_in_ms: 60_000 })}')`,
  "select maintenance.announcement('announced'), maintenance.read_state(true)",
  "select maintenance.cancel('announced', 'alice', false)",
  `select maintenance.begin_announced('{"id": "announced", "instance": 1}')`,
  `select maintenance.announce('${JSON.stringify({ ...start, id: "again", starts_in_ms: 60_000 })}')`,
  "select maintenance.cancel_announced('alice', false)",
  "select maintenance.void('{one,other}'), maintenance.lapse('{one,other}', 'cancelled')",
  enterSql({ id: "fourth", mode: "concurrent", ...alice, expires_in_ms: 60_000 }),
  "update maintenance.window set expires_at = clock_timestamp() where id = 'fourth'",
  "update maintenance.state set expires_at = clock_timestamp()",
  "select maintenance.read_state(true), maintenance.read_journal(0, 100, null)",
  "select maintenance.mend()",
  "select maintenance.read_journal(null, 1000, null), maintenance.journal()",
  "select maintenance.read_journal(null, 1000, 'fourth')",
]

describe("The plans of queries, however many windows are over,", () => {
  const database = useDatabase()
  before(() => withMaintenance(database.current.url, {}, ({ maintenance }) => maintenance.status()))

  it("do not scan past windows in frequent reads, even without statistics", async () => {
    const often = ["read_state(false)", "read_state(true)", "in_force()", "mend()", "end_expired(state)"]
    const plans = await plansOf(
      database.current.url,
      often.map((call) => `select maintenance.${call} from maintenance.state`),
    )
    expect(plans.join("\n")).to.include(" on window_place")
    expect(scansIn(plans, "window").join("\n\n")).to.equal("")
  })

  describe("with statistics", () => {
    before(() =>
      database.current.sql(`
      insert into maintenance.window
        (id, position, mode, maintainer, task, since, begun_at, terms, ended_at, ended_because, instance, is_given_up)
      select i, 'over', 'concurrent', 'alice', case when i % 2 = 0 then i::text end, t, t, i, t, 'left', i % 10, true
      from generate_series(1, 20000) i, lateral (select now() - i * interval '1 minute' as t) at;
      insert into maintenance.change (name, kind, window_id, at)
      select i, 'left', i, now() - i * interval '1 minute' from generate_series(1, 20000) i;
      insert into maintenance.refusal (window_id, instance, minute, count) select i, 'one', now(), 1 from generate_series(1, 20000) i;
      analyze`),
    )

    // As in a new session, and as in a session that has run them often.
    for (const mode of ["force_custom_plan", "force_generic_plan"]) {
      it(`do not scan past windows, changes or refusals in any call: ${mode}`, async () => {
        const settings = `set local plan_cache_mode = ${mode}`
        const plans = await plansOf(database.current.url, [settings, ...calls])
        for (const table of ["window", "change", "refusal"])
          expect(scansIn(plans, table).join("\n\n")).to.equal("")
        expect(plans.length).to.be.above(calls.length)
      })
    }
  })
})
