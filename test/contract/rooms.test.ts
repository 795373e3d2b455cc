import { expect } from "chai"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"

const source = join(process.cwd(), "src")

/**
 * Rooms that see what an application sees: their own room, `index`, and the `index` of the skins before them. They
 * may be absent.
 */
const skins = ["panel", "http", "cli"]
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
  ...skins,
]
/** Files outside of any folder that the rooms depend on. All others outside of any folder are the top. */
const base = new Set(["errors", "input", "notices", "options", "refusal", "shared", "sqlstate", "text"])

function roomOf(file: string): string {
  const [room, ...rest] = file.split("/")
  if (rest.length > 0 || skins.includes(file)) return room as string
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

/** The imports that are still there when the program runs. */
function runTimeImportsOf(file: string, text: string): string[] {
  return importsOf(
    file,
    text.replaceAll(/\b(?:import|export) type (?:\{[^{}]*\}|[\w\s*]+?) from "[^"]+"/g, ""),
  )
}

/** The texts of the source files, by name without extension. */
type Texts = ReadonlyMap<string, string>

function read(): Texts {
  const names = (readdirSync(source, { recursive: true }) as string[]).filter((name) => name.endsWith(".ts"))
  return new Map(
    names.map((name) => [name.slice(0, -".ts".length), readFileSync(join(source, name), "utf8")]),
  )
}

/** The result of a function of each file and its text. */
function ofEach(texts: Texts, find: (file: string, text: string) => string[]): Imports {
  return new Map([...texts].map(([file, text]) => [file, find(file, text)]))
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

/** Imports by which a skin sees more than an application does. */
function behindTheFace(imports: Imports): string[] {
  const faces = new Set(["index", ...skins.map((skin) => `${skin}/index`)])
  const isOfSource = (name: string) => imports.has(name) || rooms.includes(name.split("/", 1)[0] as string)
  return [...imports].flatMap(([file, imported]) => {
    const room = roomOf(file)
    if (!skins.includes(room)) return []
    return imported
      .filter((name) => isOfSource(name) && roomOf(name) !== room && !faces.has(name))
      .map((name) => `${file} imports ${name}`)
  })
}

/** Uses of the wire protocol outside of its room: imports of more than its types, and messages to a server. */
function protocolOutsideOfWire(texts: Texts): string[] {
  return [...texts].flatMap(([file, text]) => {
    if (roomOf(file) === "wire" || text.startsWith("// Generated")) return []
    const imported = runTimeImportsOf(file, text).filter((name) => name === "wire/protocol")
    return [...imported.map((name) => `${file} imports ${name}`), ...messagesIn(text, file)]
  })
}

/**
 * Messages that a text sends by pg's protocol object, whatever variable holds it: several have methods that
 * nothing else has, and the others take an object or are called on a connection.
 */
function messagesIn(text: string, file: string): string[] {
  const code = text.replaceAll(/\/\*.*?\*\//gs, "").replaceAll(/\/\/.*$/gm, "")
  const calls = [
    /\.(?:sync|flush|execute|describe|sendCopyFromChunk|endCopyFrom|sendCopyFail)\(/g,
    /\.(?:parse|bind|close)\(\s*\{/g,
    /\bconnection[!?]*\.(?:query|parse|bind|close|end|cancel)\(/gi,
    // Other streams belong to the process.
    ...(/\bconnection\b/.test(code) ? [/\bstream[!?]*\.write\(/g] : []),
  ]
  return calls.flatMap((call) => [...code.matchAll(call)].map(([found]) => `${file} calls ${found}`))
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
  const texts = read()
  const imports = ofEach(texts, importsOf)

  it("are all listed here", () => {
    expect(imports.size).to.be.greaterThan(50)
    const found = new Set([...imports.keys()].map(roomOf))
    expect([...found]).to.have.members(rooms.filter((room) => found.has(room) || !skins.includes(room)))
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

  it("import TypeORM at run time in enforcement and for the base class of errors only", () => {
    const importing = [...ofEach(texts, runTimeImportsOf)].filter(([, imported]) =>
      imported.some((name) => /^typeorm(\/|$)/.test(name)),
    )
    const outside = importing.map(([file]) => file).filter((file) => roomOf(file) !== "enforcement")
    expect(outside).to.deep.equal(["errors"])
  })

  it("know the wire protocol in wire only, apart from its types", () => {
    expect(protocolOutsideOfWire(texts)).to.deep.equal([])
  })

  it("show the command line, the panel and HTTP nothing but what an application sees", () => {
    expect(behindTheFace(imports)).to.deep.equal([])
  })

  it("have docstrings that begin with a noun or a verb", () => {
    const asking = /\/\*\*\s+(?:\* )?(?:Who|What|How|Where|When|Which|Why)\b.*/g
    const found = (text: string) => text.match(asking) ?? []
    expect(found("/** How long it lasts. */\n/**\n * What it is.\n */\n/** The whole. */")).to.have.length(2)
    const names = readdirSync(source, { recursive: true }) as string[]
    const files = names.filter((name) => /\.(ts|js)$/.test(name))
    expect(files.length).to.be.greaterThan(100)
    expect(files.flatMap((name) => found(readFileSync(join(source, name), "utf8")))).to.deep.equal([])
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

    it("imports that are there at run time", () => {
      const text =
        'import type { A } from "../window/a"\nimport type {\n  B,\n} from "b"\nexport type { C } from "./c"\n' +
        'import type * as all from "all"\nexport type G = number\n' +
        'import { type D } from "../d"\nimport { e } from "typeorm"\nimport "f"\n'
      expect(runTimeImportsOf("state/x", text)).to.deep.equal(["d", "typeorm", "f"])
    })

    it("the wire protocol outside of its room", () => {
      const broken = new Map([
        ["wire/session", 'import { textOf } from "./protocol"\nthis.#connection?.sync()'],
        ["state/good", 'import type { Step } from "../wire/protocol"\nJSON.parse(text)\nclient.query(text)'],
        ["state/importing", 'import { textOf } from "../wire/protocol"'],
        ["drain/asking", 'client.connection.query("select 1")\n// connection.sync()'],
        ["watch/sending", "const { connection: wire } = client\nwire.parse({ text })\nwire.bind({ values })"],
        ["waiting/ending", "connection\n  .sync()\nclient.connection.stream.write(chunk)"],
        ["cli/printing", "stream.write(line)"],
      ])
      expect(protocolOutsideOfWire(broken)).to.deep.equal([
        "state/importing imports wire/protocol",
        "drain/asking calls connection.query(",
        "watch/sending calls .parse({",
        "watch/sending calls .bind({",
        "waiting/ending calls .sync(",
        "waiting/ending calls stream.write(",
      ])
      const inWire = [...texts].filter(([file]) => roomOf(file) === "wire")
      const found = inWire.filter(([file, text]) => messagesIn(text, file).length > 0).map(([file]) => file)
      expect(found).to.include.members([
        "wire/accompanied-submittable",
        "wire/packet",
        "wire/pipelined-query",
      ])
    })

    it("a skin that sees more than an application does", () => {
      const broken = new Map([
        ["cli/main", ["index", "cli/flags", "node:util", "window/control"]],
        ["cli/flags", ["http/status", "http/index"]],
        ["http/status", ["../package.json", "errors"]],
        ["panel", ["wire", "typeorm"]],
        ["window/control", ["cli/flags"]],
        ["errors", []],
        ["index", []],
      ])
      expect(behindTheFace(broken)).to.deep.equal([
        "cli/main imports window/control",
        "cli/flags imports http/status",
        "http/status imports errors",
        "panel imports wire",
      ])
      expect(arrowsUp(broken)).to.include("window/control imports cli/flags")
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
