import { expect } from "chai"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import * as publicFace from "../../src"
import { ConnectedControl } from "../../src/connected-control"
import { newDataSource, useMaintenance, withMaintenance } from "../support/data-source"
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

describe("A program in the README", () => {
  const database = useDatabase()
  const [shop = "", server = "", ...others] = blocks("js")

  /** Runs work in the folder of a project that has installed the package and consists of this program. */
  const inProject = async (program: string, work: (folder: string) => Promise<void>) => {
    const folder = temporaryFolder("maintenance-readme-")
    try {
      mkdirSync(join(folder, "node_modules"))
      for (const installed of ["typeorm", "pg", "reflect-metadata", "express"]) {
        symlinkSync(join(root, "node_modules", installed), join(folder, "node_modules", installed))
      }
      symlinkSync(root, join(folder, "node_modules", "typeorm-maintenance-mode"))
      writeFileSync(join(folder, "program.mjs"), program)
      await work(folder)
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
  const settings = (cwd: string) => ({
    cwd,
    env: { ...process.env, NODE_OPTIONS: "", DATABASE_URL: database.current.url },
  })

  it("is one of two", () => {
    expect(shop).to.match(/^\/\/ shop\.mjs$/m)
    expect(server).to.match(/^\/\/ server\.mjs$/m)
    expect(others).to.deep.equal([])
  })

  it("prints the README's output", () =>
    inProject(shop, async (folder) => {
      const { stdout } = await promisify(execFile)(process.execPath, ["program.mjs"], settings(folder))
      const timeless = (text: string) => text.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g, "TIME")
      expect(timeless(stdout)).to.equal(timeless(blocks("text")[0] ?? ""))
    }))

  describe("that is a server of Express", () => {
    const installed = useMaintenance(database)
    endWindowAfterEach(installed)
    /** The server with any free port, which it prints. */
    const anyPort = server.replace(
      "app.listen(3000)",
      "const listening = app.listen(0, () => console.log(listening.address().port))",
    )

    /** The URL of a server, once it listens. Rejects if it ends before. */
    const urlOf = async (child: ChildProcess) => {
      const ended = once(child, "exit").then(() => Promise.reject(new Error("The server has ended.")))
      const [port] = (await Promise.race([once(child.stdout as NodeJS.ReadableStream, "data"), ended])) as [
        Buffer,
      ]
      ended.catch(() => undefined)
      return `http://127.0.0.1:${Number(String(port))}`
    }

    it("answers a refused request with 503, and other requests as before", () =>
      inProject(anyPort, async (folder) => {
        expect(anyPort).to.not.equal(server)
        const { maintenance } = installed.current
        const child = spawn(process.execPath, ["program.mjs"], {
          ...settings(folder),
          stdio: ["ignore", "pipe", "ignore"],
        })
        try {
          const url = await urlOf(child)
          const post = async (user: string, name: string) => {
            const headers = { "content-type": "application/json", "x-user": user }
            return fetch(`${url}/products`, { method: "POST", headers, body: JSON.stringify({ name }) })
          }
          const mode = async () => (await fetch(`${url}/mode`)).json()
          expect((await post("bob", "broom")).status).to.equal(201)
          expect(await mode()).to.deep.equal({ mode: "normal" })
          await maintenance.enter("concurrent", { as: "alice", reason: "rebuild", expiresInMs: 600_000 })
          const refused = await post("bob", "anvil")
          expect(refused.status).to.equal(503)
          expect(Number(refused.headers.get("retry-after"))).to.be.within(1, 600)
          expect(await refused.text()).to.not.match(/alice|rebuild/)
          expect((await post("alice", "crate")).status).to.equal(201)
          expect(await mode()).to.deep.equal({ mode: "concurrent" })
          await maintenance.leave({ as: "alice" })
          expect((await post("bob", "drill")).status).to.equal(201)
          const stored = await database.current.sql("select name from product order by id")
          const names = stored.map(({ name }) => name)
          expect(names.slice(-3)).to.deep.equal(["broom", "crate", "drill"])
          expect(names).to.not.include("anvil")
        } finally {
          const ended = child.exitCode === null && once(child, "exit")
          child.kill("SIGKILL")
          await ended
        }
      }))
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

/** The part of a text from a heading, with or without parameters, to the next one that is as high. */
function sectionOf(title: string, text = reference): string {
  const [, signs, after = ""] = new RegExp(`^(#+) ${title}(?:\\([^\n]*\\))?$(.*)`, "ms").exec(text) ?? []
  if (signs === undefined) throw new Error(`There is no heading "${title}".`)
  return after.split(new RegExp(`^#{1,${signs.length}} `, "m"), 1)[0] as string
}

describe("The reference", () => {
  const errors = Object.entries(publicFace).filter(
    ([name]) => name.endsWith("Error") && name !== "MaintenanceError",
  )
  const codeOf = (error: unknown) => new (error as new (message: string) => { code: string })("").code
  /** The methods of a prototype and of those that it inherits from. */
  const methodsOf = (prototype: object): string[] => {
    const chain: object[] = []
    for (let one = prototype; one !== Object.prototype; one = Object.getPrototypeOf(one)) chain.push(one)
    const descriptors = chain.flatMap((one) => Object.entries(Object.getOwnPropertyDescriptors(one)))
    const methods = descriptors.filter(
      ([name, { value }]) => name !== "constructor" && typeof value === "function",
    )
    return [...new Set(methods.map(([name]) => name))]
  }
  /** The row or the heading of a method. */
  const entryOf = (name: string) => new RegExp(`^(?:\\| \`|#+ (?:control\\.)?)${name}\\(`, "m")

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
    const documented = [...sectionOf("Maintenance").matchAll(/^\| `(\w+)\(/gm)].map(([, name]) => name)
    expect(documented).to.have.members(methodsOf(publicFace.Maintenance.prototype))
  })

  it("lists every method of ConnectedControl, those of its own under its own heading", () => {
    const ownSection = sectionOf("ConnectedControl")
    const inherited = methodsOf(Object.getPrototypeOf(ConnectedControl.prototype) as object)
    const own = methodsOf(ConnectedControl.prototype).filter((name) => !inherited.includes(name))
    expect(own).to.include.members(["ready", "close"])
    for (const name of own) expect(ownSection, name).to.match(entryOf(name))
    for (const name of inherited) expect(ownSection + sectionOf("Maintenance"), name).to.match(entryOf(name))
  })
})

/** The names in the first table of options under a heading. */
function optionsUnder(title: string, text = reference): string[] {
  const [, rows = ""] = /^\| option\b.*\n\|[-| ]+\n((?:\|.*\n)+)/m.exec(sectionOf(title, text)) ?? []
  return [...rows.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name as string)
}

/** The names of the options that an error message lists because it concerns another one. */
async function optionsIn(call: (options: object) => unknown): Promise<string[]> {
  const error = await errorOf(Promise.resolve().then(() => call({ unheardOf: true })))
  const [, names] = /\. (?:Known|Supported) options are (.+)\.$/.exec((error as Error).message) ?? []
  if (names === undefined) throw new Error("The call does not list its options.", { cause: error })
  return names.split(", ")
}

describe("A table of options in the reference", () => {
  const nowhere = newDataSource("postgres://127.0.0.1:1/nowhere")
  let maintenance: publicFace.Maintenance
  before(() => (maintenance = publicFace.installMaintenance(nowhere)))
  after(() => maintenance.uninstall())

  const nothing = () => undefined
  const decorated = ({ ...options }: object) => {
    const descriptor = { value: async () => undefined }
    const all = { ...options, maintenance: () => maintenance }
    publicFace.DuringMaintenance("concurrent", all)({}, "work", descriptor)
    return descriptor.value()
  }
  /** The calls that take the options under a heading. They reject an unknown one before anything else. */
  const calls: Record<string, (options: object) => unknown> = {
    installMaintenance: (options) => publicFace.installMaintenance(nowhere, options),
    ConnectOptions: (options) => publicFace.connectMaintenance(() => ({}), options),
    EnterOptions: (options) => maintenance.enter("concurrent", options),
    DrainOptions: (drain) => maintenance.enter("concurrent", { as: "alice", drain }),
    LeaveOptions: (options) => maintenance.leave(options),
    // It takes no signal, and says what it takes.
    AnnounceOptions: () => maintenance.announce("concurrent", { signal: true } as object),
    CancelOptions: (options) => maintenance.cancel("id", options),
    ExtendOptions: (options) => maintenance.extend(options),
    TransferOptions: (options) => maintenance.transfer({ to: "bob", ...options }),
    JournalOptions: (options) => maintenance.journal(options),
    RefusalsOptions: (options) => maintenance.refusals(options),
    BlockersOptions: (options) => maintenance.blockers(options),
    ProgressOptions: (options) => maintenance.progress({ done: 1 }, options),
    WaitOptions: (options) => maintenance.whenWritable(options),
    RunAsOptions: (options) => maintenance.runAs("bob", nothing, options),
    TransactionOptions: (options) => maintenance.transaction(async () => undefined, options),
    "Installing the schema": (options) => publicFace.maintenanceSchemaSql(options),
  }

  it("is compared here, whatever the options", () => {
    const titles = [...reference.matchAll(/^#+ ([A-Z]\w+Options)$/gm)].map(([, title]) => title)
    const compared = Object.keys(calls).filter((title) => title.endsWith("Options"))
    expect(titles).to.have.members([...compared, "DuringMaintenanceOptions"])
  })

  for (const [title, call] of Object.entries(calls)) {
    it(`has the options that the code accepts: ${title}`, async () => {
      expect(optionsUnder(title)).to.have.members(await optionsIn(call))
    })
  }

  it("concerns during() and its decorator, too", async () => {
    const ofEnter = optionsUnder("EnterOptions")
    const during = (options: object) => maintenance.during("concurrent", options, nothing)
    expect(await optionsIn(during)).to.have.members(ofEnter)
    const documented = new Set([...optionsUnder("DuringMaintenanceOptions"), ...ofEnter])
    expect([...documented]).to.have.members(["maintenance", ...(await optionsIn(decorated))])
  })

  it("is compared by functions that detect a missing row and a superfluous one", async () => {
    const accepted = await optionsIn(calls["LeaveOptions"] as (options: object) => unknown)
    const row = /^\| `ifHeld` .*\n/m
    const [text = ""] = row.exec(sectionOf("LeaveOptions")) ?? []
    expect(optionsUnder("LeaveOptions", reference.replace(row, ""))).to.not.have.members(accepted)
    const more = text + text.replace("ifHeld", "isHeld")
    expect(optionsUnder("LeaveOptions", reference.replace(row, more))).to.not.have.members(accepted)
    expect(await errorOf(optionsIn(nothing))).to.be.an("error")
  })
})

describe("The table of development dependencies", () => {
  const contributing = readFileSync(join(root, "docs/contributing.md"), "utf8")
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>
  }
  /** The dependencies that a text names, where `@nestjs/*` names all packages of that scope, and the names of none. */
  const compared = (text: string, names: readonly string[]) => {
    const [, ...rows] = [...text.matchAll(/^\| (.*?) +\|/gm)].map(([, cell = ""]) => cell)
    const patterns = rows.flatMap((cell) =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string),
    )
    const isNamed = (name: string, pattern: string) =>
      pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern
    return {
      missing: names.filter((name) => !patterns.some((pattern) => isNamed(name, pattern))),
      superfluous: patterns.filter((pattern) => !names.some((name) => isNamed(name, pattern))),
    }
  }

  it("lists all of them, and nothing else", () => {
    const found = compared(sectionOf("Dependencies", contributing), Object.keys(devDependencies))
    expect(found).to.deep.equal({ missing: [], superfluous: [] })
  })

  it("is compared by a function that detects what is missing, and what is superfluous", () => {
    const table =
      "| dependency | reason |\n| - | - |\n| `mocha`, `@nestjs/*` | tests |\n| `left-pad` | `chai` |\n"
    expect(compared(table, ["mocha", "@nestjs/core", "chai"])).to.deep.equal({
      missing: ["chai"],
      superfluous: ["left-pad"],
    })
  })
})
