import { expect } from "chai"
import { Barrier } from "../support/barrier"
import { type Installed, useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { Proxy } from "../support/proxy"
import { openShop } from "../support/shop"
import { until } from "../support/until"

describe("Several DataSources in one process", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))

  /**
   * A DataSource that receives no notifications, and knows the mode from its last read, up to a second ago.
   */
  const withDeaf = async (work: (deaf: Installed) => Promise<void>) => {
    const proxy = await Proxy.start(database.current.url, { dropsNotifications: true })
    try {
      await withMaintenance(proxy.url, {}, work)
    } finally {
      await proxy.stop()
    }
  }
  const write = ({ dataSource }: Installed) => dataSource.query("insert into audit (note) values ('x')")

  it("refuse nothing by outdated knowledge once one of them has resolved a change that lifts restrictions", async () => {
    const { maintenance } = installed.current
    await withDeaf(async (deaf) => {
      const know = () => deaf.maintenance.status()
      const as = "alice"

      await maintenance.enter("exclusive", { as })
      await know()
      await maintenance.leave({ as })
      await write(deaf)

      await maintenance.during("exclusive", { as }, know)
      await write(deaf)

      await maintenance.enter("exclusive", { as })
      await know()
      await maintenance.transfer({ as, to: "bob" })
      await maintenance.runAs("bob", () => write(deaf))
      await maintenance.leave({ as: "bob" })
    })
  })

  it("refuse nothing for a mode that was not entered", async () => {
    const { maintenance } = installed.current
    await withDeaf(async (deaf) => {
      await withClient(database.current.url, async (client) => {
        await client.query("begin; insert into audit (note) values ('x')")
        const controller = new AbortController()
        const entering = errorOf(maintenance.enter("exclusive", { as: "alice", signal: controller.signal }))
        await until(async () => (await deaf.maintenance.status()).mode !== "normal")
        controller.abort("enough")
        expect(await entering).to.equal("enough")
        await client.query("rollback")
      })
      await write(deaf)
    })
  })

  it("refuse nothing by a state that was read before a change and arrives after it", async () => {
    const { current } = database
    const { maintenance } = installed.current
    const [first, second] = [
      await Barrier.close(current.url, "4711, 1"),
      await Barrier.close(current.url, "4711, 2"),
    ]
    await withMaintenance(current.url, {}, async (other) => {
      await maintenance.enter("exclusive", { as: "alice" })
      const [{ result } = { result: "" }] = await current.sql<{ result: string }>(
        "select pg_get_function_result('maintenance.read_state(boolean)'::regprocedure) as result",
      )
      // The reads of the other DataSource return when their barriers open, one by one.
      await current.sql(`
        create sequence maintenance.reading;
        create table maintenance.reader as select pid from pg_stat_activity
        where application_name = 'typeorm-maintenance-mode' and datname = current_database()
        order by backend_start desc limit 1;
        alter function maintenance.read_state(boolean) rename to original_read_state;
        create function maintenance.read_state(with_open boolean) returns ${result} language plpgsql security definer as $$
        begin
          return query select * from maintenance.original_read_state(with_open);
          if exists (select from maintenance.reader where pid = pg_backend_pid()) then
            perform pg_advisory_xact_lock_shared(4711, n::integer) from nextval('maintenance.reading') n where n <= 2;
          end if;
        end $$`)
      const reading = other.maintenance.status()
      await first.waiting()
      await maintenance.leave({ as: "alice" })
      await first.open()
      await second.waiting()
      await write(other)
      await second.open()
      await reading
    })
    await current.sql(`
      drop function maintenance.read_state(boolean);
      alter function maintenance.original_read_state(boolean) rename to read_state;
      drop table maintenance.reader;
      drop sequence maintenance.reading`)
  })
})
