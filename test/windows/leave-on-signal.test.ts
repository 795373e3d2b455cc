import { expect } from "chai"
import { type ChildProcess, fork } from "node:child_process"
import { on, once } from "node:events"
import { join } from "node:path"
import { useMaintenance } from "../support/data-source"
import { useDatabase, withClient } from "../support/database"
import { openShop } from "../support/shop"
import type { FromScript, Plan } from "../support/script"
import { warningEnvironment } from "../support/warning"
import { until } from "../support/until"

const signals = ["SIGINT", "SIGTERM"] as const
const exclusive = { mode: "exclusive", options: { as: "alice", leaveOnSignal: true } } as const

/** A separate script process, and its messages. */
class Script {
  readonly exited: Promise<unknown[]>
  readonly #process: ChildProcess
  readonly #told: AsyncIterableIterator<unknown[]>
  stderr = ""

  constructor(url: string, plan: Plan) {
    this.#process = fork(join(__dirname, "../support/script.js"), [url, JSON.stringify(plan)], {
      execArgv: [],
      env: warningEnvironment(),
      silent: true,
    })
    this.#process.stderr?.on("data", (text: Buffer) => (this.stderr += text.toString()))
    this.#told = on(this.#process, "message")
    // Resolves with the exit code and the signal.
    this.exited = once(this.#process, "close")
  }

  /** Resolves with this message. Fails on any other. */
  async tells(message: FromScript): Promise<void> {
    const gone = this.exited.then((how) => {
      throw new Error(`The script ended (${how.join(", ")}): ${this.stderr}`)
    })
    const { value } = await Promise.race([this.#told.next(), gone])
    expect(value[0]).to.deep.equal(message)
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  end(): void {
    this.#process.send("end")
  }
}

describe("A signal to a process", () => {
  const database = useDatabase()
  const installed = useMaintenance(database)
  before(() => openShop(database.current))
  const mode = async () => (await installed.current.maintenance.status()).mode
  afterEach(() => installed.current.maintenance.leave({ as: "alice", ifHeld: true }))

  const withScript = async (plan: Plan, work: (script: Script) => Promise<void>) => {
    const script = new Script(database.current.url, plan)
    await script.tells("ready")
    try {
      await work(script)
    } finally {
      script.signal("SIGKILL")
      await script.exited
    }
  }

  for (const signal of signals) {
    for (const call of ["enter", "during"] as const) {
      it(`ends the window of ${call}() and then the process, by ${signal}`, async () => {
        await withScript({ call, ...exclusive }, async (script) => {
          await script.tells("held")
          script.signal(signal)
          expect(await script.exited).to.deep.equal([null, signal])
          expect(await mode()).to.equal("normal")
          expect(script.stderr).to.equal("")
        })
      })
    }
  }

  it("abandons a mode that is being entered", async () => {
    for (const call of ["enter", "during"] as const) {
      await withClient(database.current.url, async (client) => {
        await client.query("begin; insert into audit (note) values ('x')")
        await withScript({ call, ...exclusive }, async (script) => {
          await until(async () => (await mode()) !== "normal")
          script.signal("SIGINT")
          expect(await script.exited).to.deep.equal([null, "SIGINT"])
          expect(await mode()).to.equal("normal")
        })
        await client.query("rollback")
      })
    }
  })

  it("cancels an announced window", async () => {
    const options = { ...exclusive.options, startsInMs: 3_600_000 }
    await withScript({ call: "enter", mode: "exclusive", options }, async (script) => {
      const announced = async () => (await installed.current.maintenance.status()).announced
      await until(announced)
      script.signal("SIGTERM")
      expect(await script.exited).to.deep.equal([null, "SIGTERM"])
      expect(await announced()).to.equal(undefined)
    })
  })

  it("leaves the window in force without the option", async () => {
    for (const call of ["enter", "during"] as const) {
      await withScript({ call, mode: "exclusive", options: { as: "alice" } }, async (script) => {
        await script.tells("held")
        script.signal("SIGINT")
        expect(await script.exited).to.deep.equal([null, "SIGINT"])
        expect(await mode()).to.equal("exclusive")
      })
      await installed.current.maintenance.leave({ as: "alice" })
    }
  })

  it("is left to other listeners, which are called once; a task that continues rejects at its end", async () => {
    const { maintenance } = installed.current
    await withScript({ call: "during", ...exclusive, listens: true }, async (script) => {
      await script.tells("held")
      const left = new Promise<void>((resolve) => {
        const stop = maintenance.on("change", (status) => {
          if (status.mode !== "normal") return
          stop()
          resolve()
        })
      })
      script.signal("SIGTERM")
      await script.tells("heard")
      await left
      script.end()
      await script.tells({
        outcome:
          "The window ended before its task was done: the process received SIGTERM (leaveOnSignal). " +
          "The changes that the task committed are stored.",
      })
      expect(await script.exited).to.deep.equal([0, null])
    })
  })

  it("is listened to only while there is a window to end", async () => {
    await withScript({ call: "enter", ...exclusive }, async (script) => {
      await script.tells("held")
      script.end()
      await script.tells({ outcome: "done" })
      expect(await script.exited).to.deep.equal([0, null])
    })
    const { maintenance } = installed.current
    const listening = () => signals.map((signal) => process.listenerCount(signal))
    const before = listening()
    const more = before.map((count) => count + 1)
    await maintenance.enter("concurrent", exclusive.options)
    expect(listening()).to.deep.equal(more)
    await maintenance.enter("exclusive", exclusive.options)
    await maintenance.during("exclusive", exclusive.options, () => expect(listening()).to.deep.equal(more))
    expect(listening()).to.deep.equal(more)
    await maintenance.transfer({ as: "alice", to: "bob" })
    expect(listening()).to.deep.equal(before)
    await maintenance.leave({ as: "bob" })
    const over = await maintenance.enter("concurrent", { ...exclusive.options, expiresInMs: 1000 })
    await until(async () => (await maintenance.status()).epoch !== over.epoch)
    expect(listening()).to.deep.equal(before)
  })

  describe("while the window cannot be left", () => {
    it("ends the process, with a warning that says why the window stands", async () => {
      const { current } = database
      await withScript({ call: "enter", ...exclusive }, async (script) => {
        await script.tells("held")
        await current.sql("alter schema maintenance rename to elsewhere")
        script.signal("SIGTERM")
        expect(await script.exited).to.deep.equal([null, "SIGTERM"])
        await current.sql("alter schema elsewhere rename to maintenance")
        expect(script.stderr).to.match(
          /SIGTERM was received, but the exclusive maintenance by alice was not ended \(MaintenanceSetupError: /,
        )
      })
    })

    const withLock = (work: () => Promise<void>) =>
      withClient(database.current.url, async (client) => {
        await client.query("begin; select from maintenance.state for update")
        await work()
        await client.query("rollback")
      })
    /** Resolves when a session waits for the lock. */
    const waiting = async () => {
      const look =
        "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
      await until(async () => (await database.current.sql(look)).length > 0)
    }

    it("ends the process at once if a second signal arrives", async () => {
      await withScript({ call: "during", ...exclusive }, async (script) => {
        await script.tells("held")
        await withLock(async () => {
          script.signal("SIGINT")
          await waiting()
          script.signal("SIGTERM")
          expect(await script.exited).to.deep.equal([null, "SIGTERM"])
          expect(await mode()).to.equal("exclusive")
        })
      })
    })

    it("ends the process after a time limit, with a warning that the window stands", async () => {
      await withScript({ call: "during", ...exclusive }, async (script) => {
        await script.tells("held")
        await withLock(async () => {
          script.signal("SIGINT")
          expect(await script.exited).to.deep.equal([null, "SIGINT"])
          expect(await mode()).to.equal("exclusive")
        })
        expect(script.stderr).to.include(
          "MaintenanceWarning: SIGINT was received, but the exclusive maintenance by alice was not ended within 5000 ms. " +
            "It may still be in force. Look at status(), and call leave() if it is.",
        )
      })
    })
  })
})
