import { expect } from "chai"
import { readFileSync } from "node:fs"
import { constants } from "node:os"
import { join } from "node:path"
import { exitCode } from "../../src/cli/exit-code"
import { makeProgram } from "../../src/cli/program"
import { useMaintenance } from "../support/data-source"
import { useDatabase } from "../support/database"
import { endWindow } from "../support/window"
import { runCli } from "./run-cli"

const read = (file: string) => readFileSync(join(process.cwd(), file), "utf8")
const guide = read("docs/guides/cli.md")
const operating = read("docs/guides/operating.md")

describe("The guide to the command line", () => {
  const { commands } = makeProgram()

  it("has an entry for every command, and for no other", () => {
    const section = guide.slice(guide.indexOf("## Commands"), guide.indexOf("## JSON"))
    const documented = [...section.matchAll(/^### (\w+)$/gm)].map(([, name]) => name)
    expect(documented).to.have.members(commands.map((command) => command.name()))
  })

  it("lists every option of enter, and no other but those of all commands", () => {
    const common = ["--data-source", "--schema", "--json", "--as", "--emergency"]
    const enter = commands.find((command) => command.name() === "enter")
    const options = enter?.options.map(({ long }) => long).filter((name) => !common.includes(name ?? ""))
    const documented = [...guide.matchAll(/^\| `(?:-\w`, `)?(--\w+)/gm)].map(([, name]) => name)
    expect(documented).to.have.members(options ?? [])
  })

  it("lists every exit code, and no other", () => {
    const section = guide.slice(guide.indexOf("## Exit codes"))
    const documented = [...section.matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code))
    const interrupted = [constants.signals.SIGINT, constants.signals.SIGTERM].map((signal) => 128 + signal)
    expect(documented).to.have.ordered.members([...Object.values(exitCode), ...interrupted])
  })
})

describe("The runbook", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  let id = ""

  beforeEach(async () => {
    const { maintenance } = installed.current
    ;({ id } = await maintenance.announce("exclusive", { as: "alice", startsInMs: 3_600_000 }))
    await maintenance.enter("concurrent", { as: "alice", reason: "rebuild" })
  })
  afterEach(async () => {
    await endWindow(installed.current.maintenance)
    await installed.current.maintenance.leave({ as: "break-glass" }).catch(() => undefined)
  })

  const lines = [...operating.matchAll(/^```sh\n([^]*?)^```/gm)].flatMap(([, block = ""]) =>
    block.trim().split("\n"),
  )
  const commandOf = (line: string) =>
    [...line.replace("$ID", id).matchAll(/"([^"]*)"|(\S+)/g)].map(
      ([, quoted, plain]) => quoted ?? plain ?? "",
    )

  for (const line of lines) {
    it(`has a command that does what it says: ${line}`, async () => {
      const [npx, name, ...args] = commandOf(line)
      // npx would take the short name for another package where this one is not installed.
      expect([npx, name]).to.deep.equal(["npx", "typeorm-maintenance-mode"])
      const ran = await runCli([...args, ...(args[0] === "enter" ? ["--yes"] : [])], {
        DATABASE_URL: database.current.url,
      })
      // A window without an end is a warning.
      expect(ran.code, ran.stderr).to.equal(args[0] === "doctor" ? exitCode.no : exitCode.done)
    })
  }

  it("has a heading for each place that an error leads to", () => {
    const anchors = [...read("src/cli/failure.ts").matchAll(/operating\.md#([\w-]+)/g)].map(
      ([, anchor]) => anchor,
    )
    const headings = [...operating.matchAll(/^## (.*)$/gm)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    )
    expect(anchors).to.have.length(6)
    expect(headings).to.include.members(anchors)
    // The former name of a heading, to which links may lead.
    expect(operating).to.include('<a id="it-is-not-known-what-holds"></a>')
    const inside = [...operating.matchAll(/\]\(#([\w-]+)\)/g)].map(([, anchor]) => anchor)
    expect(headings).to.include.members(inside)
  })
})
