import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { expect } from "chai"
import { buildSync } from "esbuild"
import { temporaryFolder } from "../support/watchdog"

const root = join(__dirname, "../../..")
/** The folder of the TypeORM version under test. For the project it is "typeorm". */
const typeorm = dirname(require.resolve("typeorm"))

/** The part of the package that each file of the project prints. */
interface Printed {
  names: string[]
  codes: string[]
}

const esm = `
import * as everything from "typeorm-maintenance-mode"
import { installMaintenance, WriteVetoedError, MaintenanceSetupError } from "typeorm-maintenance-mode"
import { TypeORMError } from "typeorm"

export { WriteVetoedError }
export const printed = {
  names: Object.keys(everything).sort(),
  codes: [new WriteVetoedError("x").code, codeOf(() => installMaintenance({}))],
}

function codeOf(work) {
  try {
    work()
  } catch (error) {
    return error instanceof MaintenanceSetupError && error instanceof TypeORMError && error.code
  }
}
`

const cjs = `
const everything = require("typeorm-maintenance-mode")
const { installMaintenance, WriteVetoedError, MaintenanceSetupError } = require("typeorm-maintenance-mode")
const { TypeORMError } = require("typeorm")

exports.WriteVetoedError = WriteVetoedError
exports.printed = {
  names: Object.keys(everything).sort(),
  codes: [new WriteVetoedError("x").code, codeOf(() => installMaintenance({}))],
}

function codeOf(work) {
  try {
    work()
  } catch (error) {
    return error instanceof MaintenanceSetupError && error instanceof TypeORMError && error.code
  }
}
`

const both = `
import * as byImport from "typeorm-maintenance-mode"
import * as typeormByImport from "typeorm"
import { createRequire } from "node:module"
import { WriteVetoedError as fromEsm } from "./esm.mjs"
import fromCjs from "./cjs.cjs"

const require = createRequire(import.meta.url)
const byRequire = require("typeorm-maintenance-mode")
console.log(
  JSON.stringify({
    different: Object.keys(byRequire).filter((name) => byRequire[name] !== byImport[name]),
    sameInModules: fromEsm === fromCjs.WriteVetoedError,
    isTypeormError: new byRequire.WriteVetoedError("x") instanceof typeormByImport.TypeORMError,
  }),
)
`

const errorNames = [
  "AccessRefusedError",
  "DrainTimeoutError",
  "EnteringInterruptedError",
  "MaintenanceInputError",
  "MaintenanceSetupError",
  "NotMaintainerError",
  "OutcomeUnknownError",
  "StateUnavailableError",
  "WindowEndedError",
  "WriteVetoedError",
]

const printingNames = `
import { ${errorNames.join(", ")} } from "typeorm-maintenance-mode"

const names = [${errorNames.join(", ")}].map((Class) => new Class("x").name)
console.log(JSON.stringify(names))
`

const typed = `
import {
  AsMaintainer,
  DuringMaintenance,
  installMaintenance,
  MaintenanceMigration,
  WriteVetoedError,
  type Maintenance,
  type MaintenanceStatus,
  type Mode,
} from "typeorm-maintenance-mode"
import { DataSource, type MigrationInterface, TypeORMError } from "typeorm"

const maintenance: Maintenance = installMaintenance(new DataSource({ type: "postgres" }), {
  currentUser: () => undefined,
  emergencyUsers: ["root"],
})
const mode: Mode = "exclusive"
const status: Promise<MaintenanceStatus> = maintenance.enter(mode, { as: "alice", reason: "reindex" })
const code: "MAINTENANCE_WRITE_VETOED" = new WriteVetoedError("x").code
const error: TypeORMError = new WriteVetoedError("x")
const migration: MigrationInterface = new MaintenanceMigration()

// @ts-expect-error there is no such mode
void maintenance.enter("readonly")
// @ts-expect-error there is no such option
installMaintenance(new DataSource({ type: "postgres" }), { emergencyUser: "root" })

class Catalog {
  @AsMaintainer("alice")
  async add(name: string): Promise<string> {
    return name
  }

  @DuringMaintenance("concurrent", { as: (self: Catalog, user: string) => user, maintenance: () => maintenance })
  async rebuild(user: string): Promise<string> {
    return user
  }
}

@AsMaintainer("alice")
class Clerk {}

export const used = [status, code, error, migration, Catalog, Clerk]
`

const compilerOptions = {
  module: "nodenext",
  moduleResolution: "nodenext",
  target: "es2022",
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  // The declarations must compile without the types of pg, which an application need not have.
  skipLibCheck: false,
  types: ["node"],
}

describe("The package", () => {
  let project = ""

  before(() => {
    expect(existsSync(join(root, "dist", "index.js")), "npm run build has been run").to.equal(true)
    project = temporaryFolder("maintenance-package-")
    const [{ filename }] = JSON.parse(
      run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", project], root),
    ) as [{ filename: string }]
    const modules = join(project, "node_modules")
    mkdirSync(join(modules, "@types"), { recursive: true })
    const unpacked = join(modules, "typeorm-maintenance-mode")
    mkdirSync(unpacked)
    run("tar", ["-xzf", join(project, filename), "-C", unpacked, "--strip-components=1"], project)
    for (const peer of ["pg", "reflect-metadata", "@types/node"]) {
      symlinkSync(join(root, "node_modules", peer), join(modules, peer), "junction")
    }
    symlinkSync(typeorm, join(modules, "typeorm"), "junction")
    const files = {
      "package.json": JSON.stringify({ name: "application", private: true }),
      "esm.mjs": esm,
      "cjs.cjs": cjs,
      "both.mjs": both,
      "names.mjs": printingNames,
      "typed.mts": typed,
      "typed.cts": typed,
      "standard.json": JSON.stringify({ compilerOptions, files: ["typed.mts", "typed.cts"] }),
      "legacy.json": JSON.stringify({
        compilerOptions: { ...compilerOptions, experimentalDecorators: true, emitDecoratorMetadata: true },
        files: ["typed.mts", "typed.cts"],
      }),
    }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text)
  })

  after(() => {
    if (project) rmSync(project, { recursive: true, force: true })
  })

  const node = (code: string) => run(process.execPath, ["--input-type=module", "--eval", code], project)
  const printedBy = (file: string) =>
    JSON.parse(
      node(`import * as it from "./${file}"; console.log(JSON.stringify((it.default ?? it).printed))`),
    ) as Printed

  for (const file of ["esm.mjs", "cjs.cjs"]) {
    it(`can be used from ${file}`, () => {
      const { codes, names } = printedBy(file)
      expect(codes).to.deep.equal(["MAINTENANCE_WRITE_VETOED", "MAINTENANCE_SETUP"])
      expect(names).to.include.members(["AsMaintainer", "installMaintenance", "WriteVetoedError"])
    })
  }

  it("exports the same names for import and require", () => {
    expect(printedBy("esm.mjs").names).to.deep.equal(printedBy("cjs.cjs").names)
  })

  it("is the same instance for import and require in one process", () => {
    const printed: unknown = JSON.parse(run(process.execPath, ["both.mjs"], project))
    expect(printed).to.deep.equal({ different: [], sameInModules: true, isTypeormError: true })
  })

  it("keeps the names of its errors in a minified bundle", () => {
    const outfile = join(project, "bundle.cjs")
    const external = ["typeorm", "typeorm/*", "pg", "reflect-metadata"]
    buildSync({
      entryPoints: [join(project, "names.mjs")],
      bundle: true,
      minify: true,
      platform: "node",
      external,
      outfile,
    })
    const printed: unknown = JSON.parse(run(process.execPath, [outfile], project))
    expect(printed).to.deep.equal(errorNames)
  })

  for (const kind of ["standard", "legacy"]) {
    it(`has types that resolve from .mts and .cts, with ${kind} decorators`, () => {
      const tsc = join(root, "node_modules", "typescript", "bin", "tsc")
      expect(run(process.execPath, [tsc, "-p", `${kind}.json`, "--pretty", "false"], project)).to.equal("")
    })
  }

  it("contains the files in its exports, the documents that its README links to, and no sources", () => {
    const folder = join(project, "node_modules", "typeorm-maintenance-mode")
    type Entry = Record<"import" | "require", Record<"types" | "default", string>>
    const { exports: entries } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
      exports: Record<"." | "./panel", Entry>
    }
    for (const entry of [entries["."], entries["./panel"]])
      for (const condition of Object.values(entry))
        for (const file of Object.values(condition))
          expect(existsSync(join(folder, file)), file).to.equal(true)
    const text = readFileSync(join(folder, "README.md"), "utf8")
    const linked = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, link]) => link as string)
    const links = linked(/(?<!!)\[[^\]]*\]\(([^)]+)\)/g)
    const pictures =
      "https://raw.githubusercontent.com/typeorm-maintenance-mode/typeorm-maintenance-mode/main/"
    for (const image of linked(/!\[[^\]]*\]\(([^)]+)\)/g)) {
      expect(image.startsWith(pictures), image).to.equal(true)
      expect(existsSync(join(root, image.slice(pictures.length))), image).to.equal(true)
    }
    // npm shows the README on its own page, where relative links do not work.
    const home = "https://github.com/typeorm-maintenance-mode/typeorm-maintenance-mode/blob/main/"
    const documents = links.map((link) => {
      expect(link.startsWith(home), link).to.equal(true)
      return link.slice(home.length)
    })
    expect(documents).to.include("docs/guides/operating.md")
    for (const file of documents) expect(existsSync(join(folder, file)), file).to.equal(true)
    expect(existsSync(join(folder, "src"))).to.equal(false)
    expect(existsSync(join(folder, "test"))).to.equal(false)
  })
})

describe("The package description", () => {
  const description = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    homepage: string
    bugs: string
    repository: { type: string; url: string }
    peerDependencies: Record<string, string>
  }
  const home = "https://github.com/typeorm-maintenance-mode/typeorm-maintenance-mode"

  it("names the home page and the issue tracker", () => {
    expect(description).to.include({ homepage: `${home}#readme`, bugs: `${home}/issues` })
    expect(description.repository).to.deep.equal({ type: "git", url: `git+${home}.git` })
  })

  it("requires the same peers as the README's install command", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8")
    const [, installed = ""] = /^npm install typeorm-maintenance-mode(.*)$/m.exec(readme) ?? []
    expect(installed.trim().split(" ").sort()).to.deep.equal(Object.keys(description.peerDependencies).sort())
  })
})

/** Runs a program without this process's preloaded modules. Returns its output. */
function run(program: string, args: string[], cwd: string): string {
  try {
    const env = { ...process.env, NODE_OPTIONS: "", npm_config_loglevel: "error" }
    return execFileSync(program, args, { cwd, env, encoding: "utf8", stdio: "pipe" })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`${program} ${args.join(" ")} failed:\n${stdout}${stderr}`, { cause: error })
  }
}
