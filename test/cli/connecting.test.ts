import { expect } from "chai"
import { execFile } from "node:child_process"
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { promisify } from "node:util"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { errorOf } from "../support/error-of"
import { temporaryFolder } from "../support/watchdog"
import { endWindowAfterEach } from "../support/window"
import { type Ran, runCli, startCli } from "./run-cli"

describe("The command line, connecting,", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  endWindowAfterEach(installed)

  /** A project that has TypeORM and this package, with one file. */
  const fileWith = (name: string, text: string): string => {
    const project = temporaryFolder("maintenance-cli-")
    const modules = join(project, "node_modules")
    mkdirSync(modules)
    for (const peer of ["typeorm", "pg", "reflect-metadata"])
      symlinkSync(join(process.cwd(), "node_modules", peer), join(modules, peer))
    const file = join(project, name)
    writeFileSync(file, text)
    return file
  }
  const plugin = JSON.stringify(join(process.cwd(), "build/src"))
  const source = (more = "") => `
    const { DataSource } = require("typeorm")
    const { installMaintenance } = require(${plugin})
    const dataSource = new DataSource({ type: "postgres", url: process.env.SHOP_URL, entities: ["no/such/entity.js"], synchronize: true })
    ${more}
    module.exports = { dataSource }`
  const shop = () => ({ SHOP_URL: database.current.url })

  describe("by a file with a DataSource", () => {
    it("takes its connection and the plugin's options, and initializes nothing", async () => {
      const file = fileWith(
        "data-source.js",
        source('installMaintenance(dataSource, { emergencyUsers: ["night-shift"] })'),
      )
      await installed.current.maintenance.enter("concurrent", { as: "alice" })
      const ran = await runCli(["leave", "-d", file, "--as", "night-shift"], shop())
      expect(ran).to.include({ code: 0, stdout: "The mode is now: normal.\n" })
      expect(ran.stderr).to.include(`(from ${file}).`).and.not.to.include("does not install")
    })

    it("names the file in the next steps, quoted for a shell, as text and as JSON", async () => {
      const file = fileWith("data source.js", source("installMaintenance(dataSource)"))
      await installed.current.maintenance.enter("concurrent", { as: "bob" })
      const leave = ["leave", "-d", file, "--as", "alice"]
      const [text, json] = await Promise.all([runCli(leave, shop()), runCli([...leave, "--json"], shop())])
      const status = `npx typeorm-maintenance-mode status -d '${file}'`
      expect(text.stderr).to.include(`next:  ${status}\n`)
      expect(JSON.parse(json.stdout)).to.have.property("next_steps").that.includes(status)
      await installed.current.maintenance.leave({ as: "bob" })
      const announce = ["announce", "concurrent", "--starts", "2h", "-d", file, "--as", "alice"]
      const cancel = /To take it back: npx typeorm-maintenance-mode (.*) -d /.exec(
        (await runCli(announce, shop())).stdout,
      )?.[1]
      expect((await runCli([...(cancel ?? "").split(" "), "-d", file], shop())).code).to.equal(0)
    })

    it("works, and says so, if the plugin is not installed in it", async () => {
      const file = fileWith("data-source.js", source())
      const ran = await runCli(["status", "-d", file], shop())
      expect(ran.code).to.equal(0)
      expect(ran.stderr).to.include(`${file} does not install the plugin`)
    })

    it("takes an ES module, and a promise", async () => {
      const text = `
        import { DataSource } from "typeorm"
        export default Promise.resolve(new DataSource({ type: "postgres", url: process.env.SHOP_URL }))`
      expect((await runCli(["status", "-d", fileWith("data-source.mjs", text)], shop())).code).to.equal(0)
    })

    const faults: readonly (readonly [
      title: string,
      name: string,
      text: string | undefined,
      message: string,
    ])[] = [
      ["is not there", "data-source.js", undefined, "There is no file "],
      ["throws", "data-source.js", "throw new Error('no .env file')", "could not be loaded: no .env file"],
      [
        "exports a promise that rejects",
        "data-source.js",
        "module.exports = { dataSource: Promise.reject(new Error('no secret in the vault')) }",
        "could not be loaded: no secret in the vault",
      ],
      [
        "exports none",
        "data-source.js",
        "module.exports = {}",
        "exports no DataSource. Export the one of your application.",
      ],
      [
        "exports two",
        "data-source.js",
        `const { DataSource } = require("typeorm")
         module.exports = { a: new DataSource({ type: "postgres" }), b: new DataSource({ type: "postgres" }) }`,
        "exports 2 DataSources. Export one from a file of its own.",
      ],
      [
        "is TypeScript, and the project has no loader",
        "data-source.ts",
        "export {}",
        "the project has none of ts-node, @swc-node/register, tsx. Install ts-node, or name the compiled file with -d.",
      ],
    ]
    for (const [title, name, text, message] of faults) {
      it(`exits with 2 if the file ${title}`, async () => {
        const file = text === undefined ? "/no/such/data-source.js" : fileWith(name, text)
        const ran = await runCli(["status", "-d", file], shop())
        expect(ran.code).to.equal(2)
        expect(ran.stderr).to.include(message)
        expect(ran.stdout).to.equal("")
      })
    }

    it("keeps what the file prints away from the result, and ends although the file stays alive", async () => {
      const file = fileWith(
        "data-source.js",
        source("console.log('hello from the file'); setInterval(() => {}, 1000)"),
      )
      const ran = await runCli(["status", "-d", file, "--json"], shop())
      expect(ran.code).to.equal(0)
      expect(JSON.parse(ran.stdout)).to.include({ mode: "normal" })
      expect(ran.stderr).to.include("hello from the file")
    })

    it("does not say yes if the file ends the process", async () => {
      const file = fileWith("data-source.js", "process.exit()")
      expect((await runCli(["is", "normal", "-d", file], shop())).code).to.equal(70)
    })

    it("uses the project's loader of TypeScript", async () => {
      const file = fileWith("data-source.ts", "const typed: number = 1")
      const loader = join(file, "../node_modules/tsx")
      mkdirSync(loader)
      writeFileSync(
        join(loader, "package.json"),
        JSON.stringify({ name: "tsx", exports: { "./cjs": "./cjs.js" } }),
      )
      // A loader that knows this one file.
      writeFileSync(
        join(loader, "cjs.js"),
        `require.extensions[".ts"] = (module, name) => module._compile(${JSON.stringify(source())}, name)`,
      )
      expect((await runCli(["status", "-d", file], shop())).code).to.equal(0)
    })
  })

  it("takes libpq's variables", async () => {
    const { hostname, port, username, pathname } = new URL(database.current.url)
    const environment = { PGHOST: hostname, PGPORT: port, PGUSER: username, PGDATABASE: pathname.slice(1) }
    const ran = await runCli(["status"], environment)
    expect(ran.code, ran.stderr).to.equal(0)
    expect(ran.stderr).to.include("(from PGHOST, PGDATABASE, PGUSER, PGPORT)")
  })

  it("exits with 2 if no database is named, as text and as JSON", async () => {
    const [text, json] = await Promise.all([runCli(["status"]), runCli(["status", "--json"])])
    expect([text.code, json.code]).to.deep.equal([2, 2])
    expect(text.stderr).to.include(
      "No database is named. Name your DataSource with -d path/to/data-source.js, or set DATABASE_URL or PGHOST and PGDATABASE.",
    )
    expect(JSON.parse(json.stdout)).to.have.nested.property("error.name", "InputFault")
    expect(JSON.parse(json.stdout)).to.have.property("next_steps").that.is.an("array")
  })

  it("exits with 2 for a DATABASE_URL that is none", async () => {
    const ran = await runCli(["status"], { DATABASE_URL: "localhost" })
    expect(ran.code).to.equal(2)
    expect(ran.stderr).to.include("DATABASE_URL is not a PostgreSQL URL.")
  })

  it("exits with 2 for an address that it cannot read, and shows nothing of the password", async () => {
    for (const url of ["postgres://u:123/RETPW@127.0.0.1:1/x", "postgres://u:SEC/RETPW@127.0.0.1:1/x"]) {
      const ran = await runCli(["status"], { DATABASE_URL: url })
      expect(ran.code, url).to.equal(2)
      expect(ran.stderr).to.include("Percent-encode the special characters of the password.")
      expect(ran.stderr).to.not.include("RETPW")
    }
  })

  it("exits with 2 for a setting that it cannot read, and says which", async () => {
    const url = `${database.current.url}?sslmode=verify-full&sslrootcert=/no/such/root.pem`
    const ran = await runCli(["status"], { DATABASE_URL: url })
    expect(ran.code).to.equal(2)
    expect(ran.stderr)
      .to.include("The settings in DATABASE_URL are not valid: ENOENT: no such file or directory")
      .and.to.include("/no/such/root.pem")
      .and.not.to.include("Percent-encode")
  })

  describe("schema --apply", () => {
    const apply = (...args: string[]) =>
      runCli(["schema", "--apply", ...args], { DATABASE_URL: database.current.url, PGOPTIONS: options })
    let options = ""

    it("exits with 6 while another session has locked the schema", async () => {
      options = "-c lock_timeout=1"
      await withClient(database.current.url, async (client) => {
        await client.query("begin; lock table maintenance.schema_version")
        const ran = await apply()
        expect(ran.code, ran.stderr).to.equal(6)
        expect(ran.stderr)
          .to.match(/The schema was not installed: canceling statement due to lock timeout\. Retry later\./)
          .and.not.to.include("role")
        await client.query("rollback")
      })
    })

    it("exits with 7 for another answer of the server, in the words of PostgreSQL", async () => {
      options = "-c default_transaction_read_only=on"
      const ran = await apply()
      expect(ran.code).to.equal(7)
      expect(ran.stderr).to.match(
        /The schema was not installed: cannot execute .* in a read-only transaction\.\n/,
      )
    })

    it("exits with 6 for a server that cannot be reached, with 7 for a database that is not there", async () => {
      const missing = new URL(database.current.url)
      missing.pathname = "/no_such_database"
      for (const [url, code] of [
        ["postgres://postgres@127.0.0.1:1/shop", 6],
        [missing.toString(), 7],
      ] as const) {
        const ran = await runCli(["schema", "--apply"], { DATABASE_URL: url })
        expect(ran.code, url).to.equal(code)
        expect(ran.stderr).to.include("error: Could not connect to the database: ")
      }
    })

    it("exits with 7 for a role that is not there, and says what to do", async () => {
      options = ""
      const ran = await apply("--role", "nobody_of_that_name")
      expect(ran.code).to.equal(7)
      expect(ran.stderr).to.include("Create the role first, or name another with --role.")
    })
  })

  it("takes --json behind the command of run for the command's own", async () => {
    const { stdout, stderr } = await runCli(["run", "--mode", "exclusive", "npm", "list", "--json"])
    expect(stdout).to.equal("")
    expect(stderr).to.include("error: No database is named.")
  })

  it("goes on to its end if nobody reads its output", async () => {
    const environment = { DATABASE_URL: database.current.url }
    const { child, ended } = startCli(["enter", "concurrent", "--as", "alice"], environment)
    child.stdout?.destroy()
    child.stderr?.destroy()
    expect((await ended).code).to.equal(0)
    expect(await installed.current.maintenance.status()).to.include({ mode: "concurrent" })
  })

  it("exits with 6 if the server cannot be reached", async () => {
    const ran = await runCli(["status"], { DATABASE_URL: "postgres://postgres@127.0.0.1:1/shop" })
    expect(ran.code).to.equal(6)
    expect(ran.stderr).to.include("Could not connect to the database")
  })

  it("exits with 6 if the server accepts a connection and never answers", async () => {
    const silent = createServer(() => undefined)
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve))
    try {
      const { port } = silent.address() as { port: number }
      const ran = await runCli(["status"], { DATABASE_URL: `postgres://postgres@127.0.0.1:${port}/shop` })
      expect(ran.code).to.equal(6)
    } finally {
      silent.close()
    }
  })

  it("exits with 7 if the schema is missing, and says how to install it", async () => {
    const { url } = database.current
    const ran = await runCli(["status", "--schema", "elsewhere"], { DATABASE_URL: url })
    expect(ran.code).to.equal(7)
    expect(ran.stderr).to.include(
      'The schema "elsewhere" is not installed in this database. Run this as a role that may create objects, ' +
        "with the role of the application for ROLE:\n" +
        "  npx typeorm-maintenance-mode schema --apply --role ROLE --schema elsewhere\n" +
        "next:  npx typeorm-maintenance-mode doctor --schema elsewhere\n",
    )
  })

  it("exits with 2 for options that make no sense, and names them", async () => {
    const enter = ["enter", "concurrent", "--as", "alice"]
    const faults: readonly (readonly [string[], string])[] = [
      [
        [...enter, "--expires", "soon"],
        '--expires "soon" is not a duration. The units are ms, s, m, h and d (days, the largest). Write it like 90s, 30m, 1h30m or 2d.',
      ],
      [
        [...enter, "--expires", "1y"],
        '--expires "1y" is not a duration. The units are ms, s, m, h and d (days, the largest).',
      ],
      [[...enter, "--expires", "500ms"], "--expires must be from 1 s to 24 d 20 h, not 500 ms."],
      [[...enter, "--expires", "365d"], "--expires must be from 1 s to 24 d 20 h, not 365 d."],
      [
        [...enter, "--expires", "30"],
        '--expires "30" is not a duration. It has no unit: write 30s, 30m or 30h.',
      ],
      [
        [...enter, "--then", "wait"],
        "--then must be one of proceed, cancel, terminate, abandon, not 'wait'.",
      ],
      [[...enter, "--readers", "0"], '--readers "0" is not a whole number of 1 or more.'],
      [["enter", "closed", "--as", "alice"], '"closed" is not a mode. Write concurrent or exclusive.'],
      [
        ["announce", "exclusive", "--starts", "2020-01-01 10:00", "--as", "alice"],
        '--starts "2020-01-01 10:00" is in the past',
      ],
      [
        ["announce", "exclusive", "--starts", "2027-02-31 22:00", "--as", "alice"],
        '--starts "2027-02-31 22:00" is not a time.',
      ],
      [["announce", "exclusive", "--starts", "later", "--as", "alice"], '--starts "later" is not a time.'],
      [
        ["announce", "exclusive", "--as", "alice"],
        "Say when the window begins: --starts 22:00. To begin it now, use enter.",
      ],
      [["journal", "--limit", "many"], '--limit "many" is not a whole number'],
      [["journal", "--limit", "5000"], "--limit must be a whole number from 1 to 1000, not 5000."],
      [["stauts"], "unknown command 'stauts'"],
      [["status", "--jason"], "unknown option '--jason'"],
      [["enter", "--as", "alice"], "missing required argument 'mode'"],
    ]
    const environment = { DATABASE_URL: database.current.url }
    const ran = await Promise.all(faults.map(([args]) => runCli(args, environment)))
    for (const [index, [args, message]] of faults.entries()) {
      expect(ran[index]?.stderr, args.join(" ")).to.include(message)
      expect(ran[index]?.code, args.join(" ")).to.equal(2)
    }
    expect(await installed.current.maintenance.status()).to.include({ mode: "normal" })
  })

  it("prints one JSON document for options that make no sense, and nothing on the other stream", async () => {
    const faults: readonly (readonly [string[], string, string])[] = [
      [["status", "--jsn"], "unknown option '--jsn'\n(Did you mean --json?)", "help status"],
      [["enter"], "missing required argument 'mode'", "help enter"],
      [["stauts"], "unknown command 'stauts'\n(Did you mean status?)", "help"],
      [["help"], "Name a command.", "help"],
      [
        ["enter", "normal", "--as", "al ice"],
        "To return to normal mode, end your window.",
        "leave --as='al ice'",
      ],
    ]
    const environment = { DATABASE_URL: database.current.url }
    const ran = await Promise.all(faults.map(([args]) => runCli([...args, "--json"], environment)))
    for (const [index, [args, message, next]] of faults.entries()) {
      const { code, stdout, stderr } = ran[index] as Ran
      expect([code, stderr], args.join(" ")).to.deep.equal([2, ""])
      const printed = JSON.parse(stdout) as { error: { message: string }; next_steps: string[] }
      expect(printed.error.message, args.join(" ")).to.include(message)
      expect(printed.next_steps[0], args.join(" ")).to.equal(`npx typeorm-maintenance-mode ${next}`)
    }
  })

  it("names the package in the next steps, or the short name if a project has started it by that", async () => {
    const project = realpathSync(temporaryFolder("maintenance-cli-"))
    const bin = join(project, "node_modules/.bin")
    mkdirSync(bin, { recursive: true })
    const [short, long] = ["typeorm-maintenance", "typeorm-maintenance-mode"] as const
    for (const folder of [bin, project])
      for (const name of [short, long])
        symlinkSync(join(process.cwd(), "build/src/cli/main.js"), join(folder, name))
    for (const [program, cwd, named] of [
      [join(bin, short), project, short],
      [join(bin, long), project, long],
      // As in the cache of npx, and installed globally.
      [join(bin, short), "/", long],
      [join(project, short), project, long],
    ] as const) {
      // A relative path in NODE_OPTIONS would be looked up from there.
      const failed = errorOf(promisify(execFile)(process.execPath, [program, "stauts"], { cwd, env: {} }))
      expect(((await failed) as Ran).stderr).to.include(`next:  npx ${named} help\n`)
    }
  })

  it("shows the help of a command that exists, as in the next steps", async () => {
    const known = await runCli(["help", "enter"])
    expect(known).to.include({ code: 0, stderr: "" })
    expect(known.stdout).to.include("Usage: typeorm-maintenance-mode enter")
    expect((await runCli(["help", "bogus"])).code).to.equal(2)
    expect((await runCli(["--help"])).code).to.equal(0)
  })

  it("shows an example in the help of each command", async () => {
    const { stdout } = await runCli(["--help"])
    const names = [...stdout.matchAll(/^ {2}([a-z]+) .*\[options\]/gm)].map(([, name]) => name as string)
    expect(names).to.have.length(18)
    const helps = await Promise.all(names.map((name) => runCli([name, "--help"])))
    for (const [index, help] of helps.entries()) {
      expect(help.code).to.equal(0)
      expect(help.stdout).to.include(`Example:\n  $ npx typeorm-maintenance-mode ${names[index]}`)
    }
  })

  it("prints the version, and the SQL of the schema", async () => {
    const [version, sql] = await Promise.all([
      runCli(["--version"]),
      runCli(["schema", "--role", "shop", "--schema", "shop_maintenance"]),
    ])
    expect(version.stdout).to.match(/^\d+\.\d+\.\d+\n$/)
    expect(sql.stdout)
      .to.match(/^begin;/)
      .and.to.include('grant usage on schema "shop_maintenance" to "shop"')
  })
})
