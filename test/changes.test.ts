import { expect } from "chai"
import { useMaintenance } from "./support/data-source"
import { useDatabase } from "./support/database"

describe("The names of the changes of the mode", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)

  const note = (count: number, at: string) =>
    database.current.sql(
      `insert into maintenance.change (kind, name, at) select 'left', '${at} ' || i, now() + $1::interval from generate_series(1, $2::int) i`,
      [at, count],
    )
  const old = async () => {
    const sql = "select count(*)::int from maintenance.change where name like '-2 hours %'"
    return (await database.current.sql<{ count: number }>(sql))[0]?.count
  }
  /** How PostgreSQL does what a change of the mode has it do first. */
  const planOfForgetting = async (): Promise<string> => {
    const sql = "select pg_get_function_sqlbody('maintenance.note_change'::regproc) as body"
    const [{ body }] = (await database.current.sql(sql)) as [{ body: string }]
    const statement = /delete from.*?;/is.exec(body)?.[0]
    const plan = await database.current.sql<{ "QUERY PLAN": string }>(`explain ${statement}`)
    return plan.map((row) => row["QUERY PLAN"]).join("\n")
  }

  it("are forgotten after an hour, few at a time, and found by an index, however many there are", async () => {
    const { maintenance } = installed.current
    await note(20_000, "-1 minute")
    await note(450, "-2 hours")
    await database.current.sql("analyze maintenance.change")
    expect(await planOfForgetting())
      .to.match(/Index Scan using change_at on /)
      .and.to.not.include("Seq Scan")
    await maintenance.enter("concurrent", { as: "alice" })
    expect(await old()).to.equal(350)
    await maintenance.leave({ as: "alice" })
    expect(await old()).to.equal(250)
    while ((await old()) !== 0) await maintenance.during("concurrent", { as: "alice" }, () => undefined)
  })
})
