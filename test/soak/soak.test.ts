import { expect } from "chai"
import { soak } from "./conductor"

const seed = Math.floor(Math.random() * 1e9)

describe(`A soak without faults (seed ${seed})`, function () {
  this.timeout(240_000)

  it("finds no leak and no hang", async () => {
    const { tally, auditor, findings } = await soak({
      durationMs: 10_000,
      seed,
      isBroken: false,
      hasFaults: false,
    })
    console.log(
      `      ${tally.switches} switches, ${auditor.windows} windows watched, ${tally.outcomes.get("done")} attempts done`,
    )
    expect([findings.count("leak"), findings.count("hang")]).to.deep.equal([0, 0])
    expect(auditor.windows).to.be.greaterThan(0)
    expect(tally.outcomes.get("done")).to.be.greaterThan(100)
  })

  it("is seen to find leaks if enter() does not wait for commits under way", async () => {
    const { findings } = await soak({ durationMs: 120_000, seed, isBroken: true, hasFaults: false })
    expect(findings.count("leak")).to.be.greaterThan(0)
  })
})
