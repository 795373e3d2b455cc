import { expect } from "chai"
import { Announcements } from "./announcements"
import { Findings } from "./findings"
import { Timeline } from "./timeline"
import type { Witness } from "./witness"

describe("The soak's judge of announced windows", () => {
  const minutes = 60_000
  /** Judges a window that was begun. `isLastAct` says whether its process died after announcing it. */
  const judged = async (isLastAct: boolean) => {
    const findings = new Findings(new Timeline(), true)
    const over = {
      ...{ id: "w", position: "over", late_ms: 0, is_early: false, ended_because: "left" },
      ...{ is_held: false, is_expired: false, times_begun: 1 },
    }
    const witness = {
      query: async (text: string) => (text.includes("times_begun") ? [over] : []),
    } as unknown as Witness
    const announcements = new Announcements(witness, findings, () => undefined)
    announcements.announced({ id: "w", isLastAct })
    await announcements.look()
    return { announcements, found: () => findings.summary.map(([what]) => what) }
  }

  it("finds a long soak in which no window outlived the process that announced it", async () => {
    const { announcements, found } = await judged(false)
    expect(announcements).to.include({ begun: 1, outlived: 0 })
    announcements.conclude(9 * minutes)
    expect(found()).to.deep.equal([])
    announcements.conclude(10 * minutes)
    expect(found()).to.deep.equal([
      "inconsistency: no announced window was begun after the death of its process",
    ])
  })

  it("is content with one that did", async () => {
    const { announcements, found } = await judged(true)
    expect(announcements).to.include({ begun: 1, outlived: 1 })
    announcements.conclude(30 * minutes)
    expect(found()).to.deep.equal([])
  })
})
