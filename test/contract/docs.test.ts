import { expect } from "chai"
import { execFile } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import * as publicFace from "../../src"
import { useMaintenance, withMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { temporaryFolder } from "../support/watchdog"
import { endWindowAfterEach } from "../support/window"

const root = resolve(__dirname, "../../..")
const readme = readFileSync(join(root, "README.md"), "utf8")
const reference = readFileSync(join(root, "docs/reference.md"), "utf8")

/** The code blocks of a text in one language. */
function blocks(language: string, text = readme): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(
    ([, code]) => code ?? "",
  )
}

describe("The README's program", () => {
  const database = useDatabase()

  it("prints the README's output", async () => {
    const project = temporaryFolder("maintenance-readme-")
    try {
      mkdirSync(join(project, "node_modules"))
      for (const peer of ["typeorm", "pg", "reflect-metadata"]) {
        symlinkSync(join(root, "node_modules", peer), join(project, "node_modules", peer))
      }
      symlinkSync(root, join(project, "node_modules", "typeorm-maintenance-mode"))
      writeFileSync(join(project, "shop.mjs"), blocks("js")[0] ?? "")
      const { stdout } = await promisify(execFile)(process.execPath, ["shop.mjs"], {
        cwd: project,
        env: { ...process.env, NODE_OPTIONS: "", DATABASE_URL: database.current.url },
      })
      const timeless = (text: string) => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
      expect(timeless(stdout)).to.equal(timeless(blocks("text")[0] ?? ""))
    } finally {
      rmSync(project, { recursive: true })
    }
  })
})

describe("The operator's SQL statements", () => {
  const database = useDatabase()
  const operating = readFileSync(join(root, "docs/guides/operating.md"), "utf8")
  const statements = blocks("sql", operating).flatMap((block) =>
    block.split(/;$/m).flatMap((statement) => statement.trim() || []),
  )

  for (const statement of statements) {
    it(`run while alice holds a window: ${statement.split("\n", 1)[0]}`, async () => {
      await withMaintenance(database.current.url, {}, ({ maintenance }) => maintenance.status())
      const window = "select maintenance.enter('exclusive', 'alice', false, 'by hand')"
      await withClient(database.current.url, async (client) => {
        await client.query(`begin; ${window}`)
        await client.query(statement)
        await client.query("rollback")
      })
    })
  }

  it("enter a mode that applications obey", async () => {
    await withMaintenance(database.current.url, {}, async ({ dataSource, maintenance }) => {
      const [enter = "", leave = ""] = ["enter", "leave"].map((name) =>
        statements.find((statement) => statement.startsWith(`select maintenance.${name}('`)),
      )
      await database.current.sql(enter)
      const veto = await dataSource.query("create table product ()").catch((error: unknown) => error)
      expect(veto).to.be.instanceOf(publicFace.WriteVetoedError)
      expect(await maintenance.status()).to.include({ maintainer: "alice", reason: "rebuild the catalog" })
      await database.current.sql(leave)
      await dataSource.query("create table product ()")
    })
  })
})

describe("The guide to draining", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  const guide = readFileSync(join(root, "docs/guides/drain.md"), "utf8")
  const [snippet = ""] = blocks("ts", guide).filter((block) => block.includes("maintenance.draining()"))
  endWindowAfterEach(installed)

  const AsyncFunction = (async () => undefined).constructor as FunctionConstructor
  /** Runs the loop of the guide. Resolves with the process ids that it prints. */
  const follow = async (text = snippet, printed: (pids: unknown[]) => unknown = () => undefined) => {
    const pids: unknown[] = []
    const log = (blockers: unknown) => {
      if (!Array.isArray(blockers)) return
      pids.push(...blockers.map((blocker: { pid: number }) => blocker.pid))
      printed(pids)
    }
    await new AsyncFunction("maintenance", "console", text)(installed.current.maintenance, { log })
    return pids
  }

  it("contains a loop that prints the blockers, and ends when the mode is entered", async () => {
    await withClient(database.current.url, async (client) => {
      await client.query("begin")
      const { rows } = await client.query("select pg_backend_pid() as pid")
      const pids = await follow(snippet, (found) => found.length === 1 && void client.query("rollback"))
      expect(pids[0]).to.equal(rows[0].pid)
    })
    expect(await installed.current.maintenance.status()).to.include({ state: "exclusive" })
    expect(await follow()).to.deep.equal([])
  })

  it("contains a loop that ends with the refusal if another user holds a window", async () => {
    await installed.current.maintenance.enter("concurrent", { as: "bob" })
    expect(await errorOf(follow())).to.be.instanceOf(publicFace.NotMaintainerError)
  })

  it("contains a loop that ends with the error if the request is invalid", async () => {
    for (const text of [snippet.replace('"exclusive"', '"closed"'), snippet.replace('"alice"', '""')]) {
      expect(text).to.not.equal(snippet)
      expect(await errorOf(follow(text))).to.be.instanceOf(publicFace.MaintenanceInputError)
    }
  })
})

describe("The guide to the journal", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  const guide = readFileSync(join(root, "docs/guides/journal.md"), "utf8")
  before(() =>
    installed.current.maintenance.during("exclusive", { as: "alice", reason: "rebuild" }, () => undefined),
  )

  it("contains a loop that prints the windows of the last week", async () => {
    const AsyncFunction = (async () => undefined).constructor as FunctionConstructor
    const printed: Partial<publicFace.PastWindow>[] = []
    const log = (window: Partial<publicFace.PastWindow>) => printed.push(window)
    const [snippet = ""] = blocks("ts", guide)
    await new AsyncFunction("maintenance", "console", snippet)(installed.current.maintenance, { log })
    expect(printed).to.have.lengthOf(1)
    expect(printed[0]).to.include({
      maintainer: "alice",
      reason: "rebuild",
      endedBecause: "left",
      endedBy: "alice",
    })
  })

  it("lists every field of a window, and every way to end", async () => {
    const [window = {}] = await installed.current.maintenance.journal()
    const rest = ["message", "startsAt"]
    for (const name of [...Object.keys(window), ...rest])
      expect(guide).to.match(new RegExp(`^\\|.*\`${name}\`.*\\|`, "m"))
    const sql = `select pg_get_constraintdef(oid) as text from pg_constraint
      where conrelid = 'maintenance.window'::regclass and pg_get_constraintdef(oid) like '%handed over%'`
    const [check] = await database.current.sql<{ text: string }>(sql)
    const ways = [...(check?.text ?? "").matchAll(/'([a-z ]+)'/g)].map(([, way]) => way)
    const documented = guide.slice(guide.search(/^\| `endedBecause` +\| +\|$/m)).split("\n\n", 1)[0] ?? ""
    const named = [...documented.matchAll(/^\| (`.*?) +\|/gm)].flatMap(
      ([, cell = ""]) => cell.match(/[a-z][a-z ]*/g) ?? [],
    )
    expect(named.slice(2)).to.have.members(ways)
  })

  const statements = blocks("sql", guide).flatMap((block) =>
    block.split(/;$/m).flatMap((text) => text.trim() || []),
  )
  for (const statement of statements) {
    it(`contains a statement that runs: ${statement.split("\n", 1)[0]}`, async () => {
      await database.current.sql(statement)
    })
  }
})

describe("The reference", () => {
  const errors = Object.entries(publicFace).filter(
    ([name]) => name.endsWith("Error") && name !== "MaintenanceError",
  )
  const codeOf = (error: unknown) => new (error as new (message: string) => { code: string })("").code

  it("lists every error with its code, and no others", () => {
    const documented = [...reference.matchAll(/^\| `(\w+Error)` *\| `(\w+)`/gm)].map(
      ([, name, code]) => `${name} ${code}`,
    )
    expect(documented.sort((a = "", b = "") => a.localeCompare(b))).to.deep.equal(
      errors.map(([name, error]) => `${name} ${codeOf(error)}`).sort(),
    )
  })

  it("lists every export of the package", () => {
    for (const name of Object.keys(publicFace)) expect(reference).to.include(name)
  })

  it("lists every method of Maintenance, and no others", () => {
    const section = reference.slice(reference.indexOf("## Maintenance"), reference.indexOf("## Decorators"))
    const documented = [...section.matchAll(/^\| `(\w+)\(/gm)].map(([, name]) => name)
    const { prototype } = publicFace.Maintenance
    const descriptors = [Object.getPrototypeOf(prototype) as object, prototype].flatMap((one) =>
      Object.entries(Object.getOwnPropertyDescriptors(one)),
    )
    const methods = descriptors
      .filter(([name, { value }]) => name !== "constructor" && typeof value === "function")
      .map(([name]) => name)
    expect(documented.sort((a = "", b = "") => a.localeCompare(b))).to.deep.equal(methods.sort())
  })

  it("lists every option, and no others", () => {
    const section = reference.slice(0, reference.indexOf("## Maintenance"))
    const documented = [...section.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name)
    const source = readFileSync(join(root, "src/options.ts"), "utf8")
    const rules = /const rules = \{\n(.*?)\n\}/s.exec(source)?.[1] ?? ""
    const known = [...rules.matchAll(/^  (\w+):/gm)].map(([, name]) => name)
    expect(new Set(documented)).to.deep.equal(new Set(known))
  })
})
