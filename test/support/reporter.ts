import { relative } from "node:path"
import { reporters, Runner, type MochaOptions } from "mocha"

const { EVENT_TEST_PASS, EVENT_TEST_FAIL, EVENT_RUN_END } = Runner.constants

/** The results of one file's tests. */
interface Counts {
  passing: number
  failing: number
  durationMs: number
}

/** Prints a line for each file, then all failures and Mocha's counts. */
export default class FileReporter extends reporters.Base {
  #file = ""
  #counts: Counts = { passing: 0, failing: 0, durationMs: 0 }

  constructor(runner: Runner, options: MochaOptions) {
    super(runner, options)
    runner.on(EVENT_TEST_PASS, (test) => this.#countIn(test, "passing"))
    runner.on(EVENT_TEST_FAIL, (test) => this.#countIn(test, "failing"))
    runner.once(EVENT_RUN_END, () => {
      this.#print()
      this.epilogue()
    })
  }

  /** A file's tests are reported in succession, even when files run in parallel. */
  #countIn(test: Mocha.Runnable, what: "passing" | "failing"): void {
    const file = test.file ?? this.#file
    if (file !== this.#file) this.#print()
    this.#file = file
    this.#counts[what]++
    this.#counts.durationMs += test.duration ?? 0
  }

  #print(): void {
    const { passing, failing, durationMs } = this.#counts
    this.#counts = { passing: 0, failing: 0, durationMs: 0 }
    if (passing + failing === 0) return
    const { symbols, color } = reporters.Base
    const isRed = failing > 0
    const mark = color(isRed ? "fail" : "checkmark", isRed ? symbols.err : symbols.ok)
    const name = relative(process.cwd(), this.#file)
      .replace(/^build\/test\//, "")
      .replace(/\.test\.js$/, "")
    const failed = isRed ? `, ${failing} failed` : ""
    console.log(`${mark} ${name}: ${passing} passed${failed}, ${(durationMs / 1000).toFixed(1)} s`)
  }
}
