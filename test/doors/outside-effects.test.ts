import { expect } from "chai"
import { AccessRefusedError, WriteVetoedError } from "../../src"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"

/** The README's statement about effects outside the transaction: dblink is a client without the plugin. */
describe("A write through dblink", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(async () => {
    await database.current.sql("create extension dblink")
    await database.current.sql("create table outside (note text); create table inside (note text)")
  })
  afterEach(async () => {
    await installed.current.maintenance.leave({ as: "alice" })
    await database.current.sql("truncate outside, inside")
  })

  const connection =
    "format('host=%s port=%s dbname=%s user=%s', host(inet_server_addr()), inet_server_port(), current_database(), current_user)"
  const outside = `dblink_exec(${connection}, 'insert into outside values (1)')`
  const notes = async () =>
    (
      await database.current.sql(
        "select (select count(*)::int from outside) as outside, (select count(*)::int from inside) as inside",
      )
    )[0]

  it("is undone neither by a veto of its statement nor by a rollback", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("concurrent", { as: "alice" })
    const refusal: unknown = await dataSource
      .query(`insert into inside select ${outside}`)
      .catch((error: unknown) => error)
    expect(refusal).to.be.instanceOf(WriteVetoedError)
    expect(await notes()).to.deep.equal({ outside: 1, inside: 0 })
  })

  it("does not happen in exclusive mode: nothing is sent", async () => {
    const { dataSource, maintenance } = installed.current
    await maintenance.enter("exclusive", { as: "alice" })
    const refusal: unknown = await dataSource.query(`select ${outside}`).catch((error: unknown) => error)
    expect(refusal).to.be.instanceOf(AccessRefusedError)
    expect(await notes()).to.deep.equal({ outside: 0, inside: 0 })
  })
})
