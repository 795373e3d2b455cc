import { expect } from "chai"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(__dirname, "../../../src/state/sql")

/** A numbered file of SQL. */
interface SqlFile {
  readonly name: string
  readonly sql: string
}

const versions = readdirSync(root)
  .sort((one, other) => Number(one) - Number(other))
  .map((version) => ({
    version,
    files: readdirSync(join(root, version))
      .sort()
      .map((name): SqlFile => ({ name, sql: readFileSync(join(root, version, name), "utf8") })),
  }))
const allFiles = versions.flatMap(({ version, files }) =>
  files.map(({ name, sql }) => ({ name: `${version}/${name}`, sql })),
)

const makes =
  /create (?:or replace |unlogged )*(?:function|trigger|table|sequence|view|type)(?: if not exists)? \{schema\}\.(\w+)/g
const named = /\{schema\}\.(\w+)/g
/** Comments are prose, and may name anything. Function bodies within literals are included. */
const withoutComments = (sql: string) => sql.replaceAll(/--.*$/gm, "").replaceAll(/^comment on .*?;$/gms, "")

/** Names used before they are created in an earlier file, or above in the same file. */
function forwardReferences(files: readonly SqlFile[]): string[] {
  const made = new Set(["schema_version"])
  return files.flatMap(({ name, sql }) =>
    withoutComments(sql)
      .split("\n")
      .flatMap((line) => {
        for (const [, one] of line.matchAll(makes)) made.add(one as string)
        const unknown = [...line.matchAll(named)]
          .map(([, one]) => one as string)
          .filter((one) => !made.has(one))
        return unknown.map((one) => `${name} names ${one}`)
      }),
  )
}

/** The functions of a file, with the number of their arguments. */
function functionsOf({ sql }: SqlFile): { name: string; count: number }[] {
  return [...sql.matchAll(/create or replace function \{schema\}\.(\w+)\(/g)].map((match) => {
    const list = argumentsFrom(sql, match.index + match[0].length)
    return { name: match[1] as string, count: list.trim() === "" ? 0 : list.split(",").length }
  })
}

/** The text up to the closing parenthesis, without the content of inner parentheses and literals. */
function argumentsFrom(sql: string, start: number): string {
  const plain = sql.slice(start).replaceAll(/'[^']*'/g, "''")
  let depth = 1
  let list = ""
  for (const letter of plain) {
    if (letter === "(") depth++
    if (letter === ")") depth--
    if (depth === 0) break
    if (depth === 1) list += letter
  }
  return list
}

describe("The SQL files", () => {
  it("are numbered without gaps, in every version", () => {
    expect(versions.map(({ version }) => Number(version))).to.deep.equal(versions.map((_, at) => at + 1))
    for (const { files } of versions)
      expect(files.map(({ name }) => /^(\d\d)-[a-z-]+\.sql$/.exec(name)?.[1])).to.deep.equal(
        files.map((_, at) => String(at + 1).padStart(2, "0")),
      )
  })

  it("use only names created in earlier files, or above in the same file", () => {
    expect(forwardReferences(allFiles)).to.deep.equal([])
    const turned = forwardReferences([...allFiles].reverse())
    expect(turned).to.include("1/04-fence.sql names restriction_of")
    const [first, ...rest] = allFiles
    const early = { ...(first as SqlFile), sql: `${first?.sql}\nselect {schema}.leave('alice', false);` }
    expect(forwardReferences([early, ...rest])).to.deep.equal(["1/01-state.sql names leave"])
  })

  it("comment on each function, table and sequence", () => {
    for (const { name, sql } of allFiles) {
      const objects =
        /create (?:or replace |unlogged )*(?:function|table|sequence)(?: if not exists)? \{schema\}\.(\w+)/g
      const made = [...sql.matchAll(objects)].map(([, one]) => one as string)
      const commented = new Set(
        [...sql.matchAll(/^comment on \w+ \{schema\}\.(\w+)/gm)].map(([, one]) => one),
      )
      expect(
        made.filter((one) => !commented.has(one)),
        name,
      ).to.deep.equal([])
    }
  })

  it("define no function with more than six arguments", () => {
    const found = allFiles.flatMap(functionsOf)
    expect(found.find(({ name }) => name === "acknowledge")?.count).to.equal(6)
    expect(found.find(({ name }) => name === "register")?.count).to.equal(6)
    expect(found.find(({ name }) => name === "lock_state")?.count).to.equal(0)
    expect(found.filter(({ count }) => count > 6)).to.deep.equal([])
  })
})
