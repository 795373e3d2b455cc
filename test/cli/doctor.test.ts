import { expect } from "chai"
import type { Finding } from "../../src/cli/doctor/finding"
import { useMaintenance } from "../support/data-source"
import { type TestDatabase, useDatabase, useFreshDatabase, withClient } from "../support/database"
import { Proxy } from "../support/proxy"
import { endWindowAfterEach } from "../support/window"
import { runCli } from "./run-cli"

interface Examined {
  readonly code: number | null
  readonly severity: string
  readonly findings: readonly Finding[]
}

/** The findings of `doctor`, in a database. */
async function examine(url: string, ...args: string[]): Promise<Examined> {
  const { code, stdout } = await runCli(["doctor", "--json", ...args], { DATABASE_URL: url })
  return { code, ...(JSON.parse(stdout) as Pick<Examined, "severity" | "findings">) }
}

const about = ({ findings }: Examined, check: string) => findings.filter((finding) => finding.check === check)

describe("The command line's doctor", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)

  it("finds nothing wrong where nothing is, and shows what it has examined", async () => {
    const { code, stdout } = await runCli(["doctor"], { DATABASE_URL: database.current.url })
    expect(stdout).to.not.match(/^(warning|error)/m)
    for (const check of [
      "server",
      "packages",
      "schema",
      "drift",
      "privileges",
      "pooler",
      "clock",
      "instances",
      "window",
      "connections",
    ])
      expect(stdout).to.match(new RegExp(`^ok +${check} `, "m"))
    expect(code).to.equal(0)
  })

  it("warns of a window that does not end by itself, and says how to give it an end", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "alice" })
    const examined = await examine(database.current.url)
    expect(examined).to.include({ code: 1, severity: "warning" })
    const [finding] = about(examined, "window")
    expect(finding?.message).to.match(/^The concurrent window of alice, since \S+, does not end by itself\.$/)
    expect(finding?.remedy).to.include("npx typeorm-maintenance-mode extend --expires 30m --as=alice")
  })

  it("says nothing about a transaction that was prepared a moment ago", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("begin; select txid_current(); prepare transaction 'pay-77'")
      try {
        expect(about(await examine(database.current.url), "prepared")).to.deep.equal([])
      } finally {
        await client.query("rollback prepared 'pay-77'")
      }
    })
  })
})

describe("The command line's doctor, in a database of its own,", () => {
  let database: TestDatabase
  useFreshDatabase((created) => (database = created))
  const install = () => runCli(["schema", "--apply"], { DATABASE_URL: database.url })

  it("says that the schema is missing, and schema --apply installs it", async () => {
    const before = await examine(database.url)
    expect(before).to.include({ code: 7, severity: "error" })
    expect(about(before, "schema")[0]).to.deep.include({
      message: 'The schema "maintenance" is not installed in this database.',
      remedy:
        "To grant the application's role what it needs, add --role and its name. Run: npx typeorm-maintenance-mode schema --apply",
    })
    expect(await install()).to.include({ code: 0, stdout: "The schema is installed and up to date.\n" })
    const after = await examine(database.url)
    expect(after).to.include({ code: 0, severity: "note" })
    expect(about(after, "instances")[0]?.message).to.equal("No instance is connected.")
  })

  it("finds a function that was changed", async () => {
    await install()
    await database.sql(
      "create or replace function maintenance.unix_ms(at timestamptz) returns bigint language sql immutable return 0",
    )
    const examined = await examine(database.url)
    expect(examined.code).to.equal(7)
    expect(about(examined, "drift")[0]?.message).to.equal(
      'Objects of the schema "maintenance" differ from those that were installed: function unix_ms(at timestamp with time zone).',
    )
    await install()
    expect((await examine(database.url)).code).to.equal(0)
  })

  it("finds a column that was added, also after the schema was installed again", async () => {
    await install()
    await database.sql("alter table maintenance.state add column oops text")
    await install()
    const examined = await examine(database.url)
    expect(about(examined, "drift")[0]?.message).to.equal(
      `Objects of the schema "maintenance" differ from those that were installed: column state.oops, view state_now.`,
    )
  })

  it("names the session that has locked the state, and is done in seconds", async () => {
    await install()
    await withClient(database.url, async (client) => {
      await client.query("set application_name = 'locker'; begin; lock table maintenance.state")
      const examined = await examine(database.url)
      expect(examined.code).to.equal(7)
      expect(about(examined, "locks")[0]?.message).to.match(
        /^Backend \d+ \(locker, idle in transaction\) has locked a table of the schema "maintenance"/,
      )
      const { code, stderr } = await runCli(["status"], { DATABASE_URL: database.url })
      expect(code).to.equal(6)
      expect(stderr).to.match(
        /other sessions have locked the table "maintenance"\.state[^]*backend \d+ \(application locker/,
      )
      await client.query("rollback")
    })
  })

  it("finds functions that everybody may execute", async () => {
    await install()
    await database.sql("grant execute on function maintenance.leave to public")
    const examined = await examine(database.url)
    expect(about(examined, "privileges").map(({ message }) => message)).to.deep.include(
      'Every role may execute leave in the schema "maintenance", if it may use the schema.',
    )
  })

  it("finds a schema that is newer, and one that is older", async () => {
    await install()
    await database.sql("insert into maintenance.schema_version (version, is_breaking) values (99, false)")
    const newer = await examine(database.url)
    expect(about(newer, "schema")[0]).to.include({ severity: "warning" })
    await database.sql(
      "delete from maintenance.schema_version; insert into maintenance.schema_version (version, is_breaking) values (0, false)",
    )
    const older = await examine(database.url)
    expect(older.code).to.equal(7)
    expect(about(older, "schema")[0]?.message).to.equal(
      '"maintenance" is at version 0; this package needs version 1.',
    )
  })

  /** The URL of a role without any grant. Roles belong to the whole server. */
  const withRole = async (work: (url: string) => Promise<void>) => {
    const url = new URL(database.url)
    url.username = role
    await database.sql(`create role ${role} login`)
    try {
      await work(url.toString())
    } finally {
      await database.sql(`drop owned by ${role}; drop role ${role}`)
    }
  }
  const role = `visitor_${process.pid}`

  it("names the grants that a role lacks", async () => {
    await install()
    await withRole(async (url) => {
      const examined = await examine(url)
      expect(examined.code).to.equal(7)
      const [finding] = about(examined, "privileges")
      expect(finding?.remedy).to.include(`grant usage on schema "maintenance" to "${role}";`)
      const grants = finding?.remedy?.slice("As the owner of the schema, run: ".length) ?? ""
      await database.sql(grants)
      const afterwards = await examine(url)
      expect(about(afterwards, "privileges").map(({ severity }) => severity)).to.deep.equal([
        "ok",
        "note",
        "note",
      ])
      expect(afterwards.code).to.equal(0)
    })
  })

  it("names the server that it cannot reach", async () => {
    const examined = await examine("postgres://postgres@127.0.0.1:1/shop")
    expect(examined.code).to.equal(6)
    expect(examined.findings).to.have.length(1)
    expect(examined.findings[0]?.message).to.match(
      /^The server could not be reached \(shop on 127\.0\.0\.1:1 as postgres\): /,
    )
  })

  it("names a connection that is lost while it examines", async () => {
    const proxy = await Proxy.start(database.url)
    try {
      proxy.terminateNext()
      const first = await examine(proxy.url)
      proxy.cutAt("pg_prepared_xacts")
      const later = await examine(proxy.url)
      for (const { code, findings } of [first, later]) {
        expect(code).to.equal(6)
        expect(findings.at(-1)).to.include({ severity: "error", check: "server" })
        expect(findings.at(-1)?.message).to.match(/^The server could not be reached \(.*[^.]\.$/)
      }
    } finally {
      await proxy.stop()
    }
  })

  it("exits with 7 for a database that is not there", async () => {
    const url = new URL(database.url)
    url.pathname = "/no_such_database"
    const { code, findings } = await examine(url.toString())
    expect(code).to.equal(7)
    expect(findings).to.have.length(1)
  })

  it("names a check that could not be made as its findings are", async () => {
    await install()
    await withRole(async (url) => {
      await database.sql("revoke select on pg_catalog.pg_stat_activity from public")
      const { findings } = await examine(url)
      const failed = findings.filter(({ message }) => message.startsWith("It could not be examined: "))
      expect(failed.map(({ check }) => check)).to.deep.equal(["locks", "transactions", "connections"])
      for (const { message } of failed)
        expect(message).to.equal("It could not be examined: permission denied for view pg_stat_activity.")
    })
  })

  it("reports a role that lacks grants by other commands, too", async () => {
    await install()
    await withRole(async (url) => {
      const { code, stderr } = await runCli(["status"], { DATABASE_URL: url })
      expect(code).to.equal(7)
      expect(stderr)
        .to.include("permission denied for schema maintenance")
        .and.to.include("next:  npx typeorm-maintenance-mode doctor")
    })
  })
})
