import { expect } from "chai"
import { soak } from "./conductor"

/** Maximum duration, in milliseconds. Each soak ends when it has seen enough; on a busy machine that takes longer. */
const durationMs = 300_000
const seed = Math.floor(Math.random() * 1e9)

describe(`A soak without faults (seed ${seed})`, function () {
  this.timeout(600_000)

  it("finds no leak and no hang", async () => {
    const { findings, ...seen } = await soak({
      durationMs,
      seed,
      isBroken: false,
      hasFaults: false,
      isEnough: ({ windows, done }) => windows >= 3 && done > 100,
    })
    expect([findings.count("leak"), findings.count("hang")]).to.deep.equal([0, 0])
    expect(seen.auditor.windows).to.be.at.least(3)
    expect(seen.tally.outcomes.get("done")).to.be.greaterThan(100)
  })

  it("finds leaks if enter() does not wait for in-flight commits", async () => {
    const { findings } = await soak({ durationMs, seed, isBroken: true, hasFaults: false })
    expect(findings.count("leak")).to.be.greaterThan(0)
  })
})
