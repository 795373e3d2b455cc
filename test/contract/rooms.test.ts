import { expect } from "chai"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"

const source = join(process.cwd(), "src")

/** The rooms from the bottom up. A file may import from its own room and from those below. */
const rooms = [
  "mode",
  "base",
  "identity",
  "wire",
  "state",
  "watch",
  "drain",
  "waiting",
  "window",
  "enforcement",
  "top",
]
/** Files outside of any folder that the rooms depend on. All others outside of any folder are the top. */
const base = new Set(["errors", "input", "notices", "options", "refusal", "shared", "sqlstate"])

function roomOf(file: string): string {
  const [room, ...rest] = file.split("/")
  if (rest.length > 0) return room as string
  return base.has(file) ? "base" : "top"
}

/** The imports of each file, including types: source files without extension, and packages. */
type Imports = ReadonlyMap<string, readonly string[]>

function importsOf(file: string, text: string): string[] {
  const specifiers = [...text.matchAll(/\b(?:from|import|import\(|require\()\s*"([^"]+)"/g)].map(
    ([, specifier]) => specifier as string,
  )
  return specifiers.map((specifier) =>
    specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : specifier,
  )
}

function read(): Imports {
  const files = (readdirSync(source, { recursive: true }) as string[]).filter((name) => name.endsWith(".ts"))
  return new Map(
    files.map((name) => {
      const file = name.slice(0, -".ts".length)
      return [file, importsOf(file, readFileSync(join(source, name), "utf8"))]
    }),
  )
}

/** Imports from a higher room. */
function arrowsUp(imports: Imports): string[] {
  const levelOf = (file: string) => rooms.indexOf(roomOf(file))
  return [...imports].flatMap(([file, imported]) =>
    imported
      .filter((other) => imports.has(other) && levelOf(other) > levelOf(file))
      .map((other) => `${file} imports ${other}`),
  )
}

/** A cycle of imports, or an empty array. */
function circle(imports: Imports): string[] {
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return []
    for (const other of imports.get(file) ?? []) {
      const found = visit(other, [...path, file])
      if (found.length > 0) return found
    }
    done.add(file)
    return []
  }
  for (const file of imports.keys()) {
    const found = visit(file, [])
    if (found.length > 0) return found
  }
  return []
}

describe("The rooms of the source", () => {
  const imports = read()

  it("are all listed here", () => {
    expect(imports.size).to.be.greaterThan(50)
    expect([...new Set([...imports.keys()].map(roomOf))]).to.have.members(rooms)
  })

  it("import only from lower rooms, types included", () => {
    expect(arrowsUp(imports)).to.deep.equal([])
  })

  it("have no cycle of imports", () => {
    expect(circle(imports)).to.deep.equal([])
  })

  it("use TypeORM only in enforcement, apart from the DataSource in public types and the base class of errors", () => {
    const knowing = [...imports].filter(([, imported]) =>
      imported.some((name) => /^typeorm(\/|$)/.test(name)),
    )
    const outside = knowing.map(([file]) => file).filter((file) => roomOf(file) !== "enforcement")
    expect(outside).to.have.members(["errors", "installation", "maintenance"])
  })

  it("contain no file of more than 300 lines, SQL included", () => {
    const files = (readdirSync(source, { recursive: true }) as string[]).filter((name) =>
      /\.(ts|sql)$/.test(name),
    )
    expect(files.some((name) => name.endsWith(".sql"))).to.equal(true)
    const long = files.filter((name) => {
      const text = readFileSync(join(source, name), "utf8")
      return text.split("\n").length > 301 && !text.startsWith("// Generated")
    })
    expect(long).to.deep.equal([])
  })

  describe("are checked by a function that detects", () => {
    it("type imports and run-time imports", () => {
      const text =
        'import type { A } from "../window/a"\nconst b = await import("./b")\nexport { c } from "typeorm"\n'
      expect(importsOf("state/x", text)).to.deep.equal(["window/a", "state/b", "typeorm"])
    })

    it("an upward import", () => {
      const broken = new Map([
        ["state/a", ["watch/b", "errors"]],
        ["watch/b", ["state/c"]],
        ["state/c", []],
        ["errors", []],
      ])
      expect(arrowsUp(broken)).to.deep.equal(["state/a imports watch/b"])
    })

    it("a cycle of three files", () => {
      const broken = new Map([
        ["a", ["b"]],
        ["b", ["c", "d"]],
        ["c", ["a"]],
        ["d", []],
      ])
      expect(circle(broken)).to.deep.equal(["a", "b", "c", "a"])
    })
  })
})
