import { expect } from "chai"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { maintenanceSchemaSql } from "../../src"
import { endsSession, isPassingCode, isRefusedByServer, ownSqlState } from "../../src/sqlstate"

const root = join(__dirname, "../../..")
/** The SQLSTATEs of the package that a text names, each once. */
const ownCodesIn = (text: string) => [...new Set(text.match(/\bMM\d{3}\b/g))].sort()

describe("The SQLSTATEs of the package", () => {
  const known: string[] = Object.values(ownSqlState).sort()

  it("are those that its SQL raises, and no others", () => {
    const folder = join(root, "src/state/sql")
    const names = (readdirSync(folder, { recursive: true }) as string[]).filter((name) =>
      name.endsWith(".sql"),
    )
    const inFiles = ownCodesIn(names.map((name) => readFileSync(join(folder, name), "utf8")).join("\n"))
    // The check for foreign objects precedes all files.
    expect([...inFiles, ownSqlState.foreignSchema].sort()).to.deep.equal(known)
    expect(ownCodesIn(maintenanceSchemaSql())).to.deep.equal(known)
  })

  it("are those that the documentation lists, and no others", () => {
    const guide = readFileSync(join(root, "docs/how-it-works.md"), "utf8")
    const listed = [...guide.matchAll(/^\| `(MM\d{3})` +\|/gm)].map(([, code]) => code)
    expect(listed).to.deep.equal(known)
    expect(ownCodesIn(guide)).to.deep.equal(known)
  })

  it("are found wherever a text names them", () => {
    const text = "perform refuse('MM002', who); errcode = 'MM001' -- MM002, and never MM1 or XMM003"
    expect(ownCodesIn(text)).to.deep.equal(["MM001", "MM002"])
  })
})

describe("An error by its code", () => {
  const ofNetwork = ["EPIPE", "EPERM", "ESRCH", "ECONNRESET", "ETIMEDOUT", ""]
  for (const code of ofNetwork) {
    it(`is no answer of the server: ${code || "no code"}`, () => {
      expect(isRefusedByServer({ code })).to.equal(false)
      expect(isPassingCode({ code })).to.equal(true)
    })
  }

  for (const code of ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04"]) {
    it(`ends the session: ${code}`, () => {
      expect(endsSession({ code })).to.equal(true)
      expect(isRefusedByServer({ code })).to.equal(false)
    })
  }

  for (const code of ["23505", "42P01", "MM001", "22012"]) {
    it(`is a refusal by the server that a retry meets again: ${code}`, () => {
      expect(isRefusedByServer({ code })).to.equal(true)
      expect(isPassingCode({ code })).to.equal(false)
    })
  }
})
