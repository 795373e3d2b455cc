import { expect } from "chai"
import { endsSession, isPassingCode, isRefusedByServer } from "../../src/sqlstate"

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
