import { expect } from "chai"
import { classify } from "../../src/enforcement/statement-kind"
import { leadingEnd } from "../../src/enforcement/transaction-end"

/** Texts, with the end of a transaction at their beginning, if any: its kind, its text, and the rest. */
const texts: [text: string, end: string | [kind: string, text: string, rest: string] | undefined][] = [
  ["commit", ["commit", "commit", ""]],
  ["END", ["commit", "END", ""]],
  ["end transaction;", ["commit", "end transaction", ""]],
  ["commit work and chain", ["commit AND CHAIN", "commit work and chain", ""]],
  ["commit and no chain -- done", ["commit", "commit and no chain", ""]],
  ["abort", ["rollback", "abort", ""]],
  ["rollback /* a /* b */ ; */ ;\f\v;\n", ["rollback", "rollback", ""]],
  ["rollback--;\n/**/and/**/chain", ["rollback AND CHAIN", "rollback--;\n/**/and/**/chain", ""]],
  [";; /* x */ rollback; select 1", ["rollback", "rollback", "select 1"]],
  ["rollback to a", ["rollback to", "rollback to a", ""]],
  ["rollback work to savepoint ä_1$; commit", ["rollback to", "rollback work to savepoint ä_1$", "commit"]],
  ["rollback to savepoint", ["rollback to", "rollback to savepoint", ""]],
  ['rollback to savepoint "a;""b";commit', ["rollback to", 'rollback to savepoint "a;""b"', "commit"]],
  ["prepare transaction 'it''s; x'; select 1", ["prepare", "prepare transaction 'it''s; x'", "select 1"]],
  ['rollback to U&"a"', "uncertain"],
  [String.raw`prepare transaction 'a\'; select 1`, "uncertain"],
  ["prepare transaction $$x$$", "uncertain"],
  ["prepare transaction as select 1", "uncertain"],
  ["rollback /* ; select 1", "uncertain"],
  ["rollback and", "uncertain"],
  ["rollback to; commit", "uncertain"],
  ["abort to a", "uncertain"],
  ["commit\u00a0work", undefined],
  ["commit prepared 'x'", undefined],
  ["rollback prepared 'x'", undefined],
  ["prepare p as select 1; commit", undefined],
  ["execute p; commit", undefined],
  ["(select 1); commit", undefined],
  ["-- commit", undefined],
  ["/* commit", undefined],
  ["commité", undefined],
  ["\u00a0commit", undefined],
  ["commit_all", undefined],
  ["end$", undefined],
  ["", undefined],
  [";", undefined],
]

/**
 * Texts that only end a transaction or return to a savepoint, and texts that must not be mistaken for those.
 */
const kinds: [text: string, kind: string, end?: string][] = [
  ["rollback -- given up", "rollback", "ROLLBACK"],
  ["rollback; -- given up", "rollback", "ROLLBACK"],
  ["/* a /* b */ */ rollback work", "rollback", "ROLLBACK"],
  ["rollback and no chain", "rollback", "ROLLBACK"],
  ["rollback and chain", "rollback"],
  ["rollback to a -- b", "rollback"],
  [";commit", "commit", "COMMIT"],
  ["commit /* done */", "commit", "COMMIT"],
  ["commit and chain;", "commit"],
  ["rollback; select 1", "several"],
  ["rollback to a; commit", "several"],
  ["prepare transaction 'x'", "commit"],
  ["commit prepared 'x'", "other"],
  ["rollback prepared 'x'", "other"],
]

describe("The end of a transaction in a text", () => {
  for (const [text, expected] of texts) {
    const told = Array.isArray(expected) ? expected[0] : (expected ?? "none")
    it(`is found at the beginning of ${JSON.stringify(text)}: ${told}`, () => {
      const end = leadingEnd(text)
      const shown =
        typeof end === "object"
          ? [`${end.kind}${end.isChained ? " AND CHAIN" : ""}`, end.text, end.rest]
          : end
      expect(shown).to.deep.equal(expected)
    })
  }

  for (const [text, kind, end] of kinds) {
    it(`makes ${JSON.stringify(text)} a text of kind ${kind}`, () => {
      const classified = classify(text, false)
      expect([classified.kind, classified.end]).to.deep.equal([kind, end])
      expect(classified.mayEndTransaction).to.equal(kind !== "rollback")
    })
  }
})
