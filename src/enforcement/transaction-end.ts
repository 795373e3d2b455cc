/** The first statement of a text, if it ends a transaction block or rolls back to a savepoint. */
export interface TransactionEnd {
  readonly kind: "commit" | "rollback" | "rollback to" | "prepare"
  /** Whether it begins another transaction (AND CHAIN). */
  readonly isChained: boolean
  /** The statement, without the text before and after it. */
  readonly text: string
  /** The text after the statement and its semicolons, without leading comments. Possibly empty. */
  readonly rest: string
}

/** Pattern for the end of a keyword, as PostgreSQL's lexer separates words. */
export const wordEnd = String.raw`(?![a-z0-9_$\x80-\uffff])`

const word = (words: string) => new RegExp(`(?:${words})${wordEnd}`, "iy")
const verb = word("commit|end|rollback|abort|prepare")
const noise = word("work|transaction")
const transaction = word("transaction")
const prepared = word("prepared")
const and = word("and")
const no = word("no")
const chain = word("chain")
const to = word("to")
const savepoint = word("savepoint")
const identifier = /[a-z_\x80-\uffff][a-z0-9_$\x80-\uffff]*|"(?:[^"]|"")+"/iy
/** A literal whose meaning does not depend on `standard_conforming_strings`. */
const literal = /'(?:[^'\\]|'')*'/y
const space = /[ \t\n\r\f\v]+|--[^\n\r]*/y
const semicolon = /;/y
const commentEdge = /\/\*|\*\//g

/**
 * Parses the transaction end with which a text begins, by PostgreSQL's lexer and grammar. Returns undefined
 * if the text certainly begins with something else, and "uncertain" if it cannot be decided here. For a text
 * without syntax errors, the result is certain.
 */
export function leadingEnd(text: string): TransactionEnd | "uncertain" | undefined {
  const tokens = new Tokens(text)
  while (tokens.take(semicolon));
  const start = tokens.at
  const said = tokens.take(verb)?.toLowerCase()
  if (said === undefined) return undefined
  const kind = said === "prepare" ? prepareTransaction(tokens) : endOfBlock(tokens, said)
  if (kind === undefined || kind === "uncertain") return kind
  const end = tokens.end
  if (!tokens.take(semicolon) && !tokens.isAtEnd) return "uncertain"
  while (tokens.take(semicolon));
  return { ...kind, text: text.slice(start, end), rest: text.slice(tokens.at) }
}

type Kind = Pick<TransactionEnd, "kind" | "isChained">

/** Parses PREPARE TRANSACTION. PREPARE of a statement is no end. */
function prepareTransaction(tokens: Tokens): Kind | "uncertain" | undefined {
  if (!tokens.take(transaction)) return undefined
  return tokens.take(literal) ? { kind: "prepare", isChained: false } : "uncertain"
}

function endOfBlock(tokens: Tokens, said: string): Kind | "uncertain" | undefined {
  const kind = said === "commit" || said === "end" ? "commit" : "rollback"
  // COMMIT PREPARED and ROLLBACK PREPARED concern another transaction.
  if (tokens.take(prepared)) return undefined
  tokens.take(noise)
  if (said === "rollback" && tokens.take(to)) {
    const isWord = tokens.take(savepoint)
    // SAVEPOINT may be the name itself.
    return tokens.take(identifier) || isWord ? { kind: "rollback to", isChained: false } : "uncertain"
  }
  if (!tokens.take(and)) return { kind, isChained: false }
  const isChained = !tokens.take(no)
  return tokens.take(chain) ? { kind, isChained } : "uncertain"
}

/** The tokens of a text, in order. White space and comments are skipped. */
class Tokens {
  readonly #text: string
  /** Start of the next token, or end of the text. */
  at = 0
  /** End of the last token. */
  end = 0

  constructor(text: string) {
    this.#text = text
    this.#skip()
  }

  get isAtEnd(): boolean {
    return this.at === this.#text.length
  }

  /** Consumes the next token if it is of this kind, and returns it. */
  take(kind: RegExp): string | undefined {
    const found = this.#match(kind)
    if (found === undefined) return undefined
    this.end = this.at += found.length
    this.#skip()
    return found
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at
    return pattern.exec(this.#text)?.[0]
  }

  #skip(): void {
    for (let length = -1; length !== 0; this.at += length) {
      length = this.#match(space)?.length ?? this.#lengthOfComment()
    }
  }

  /**
   * The length of a comment here, or 0. PostgreSQL's comments nest; an unterminated one is a syntax error.
   */
  #lengthOfComment(): number {
    if (!this.#text.startsWith("/*", this.at)) return 0
    let depth = 0
    commentEdge.lastIndex = this.at
    for (let edge = commentEdge.exec(this.#text); edge; edge = commentEdge.exec(this.#text)) {
      depth += edge[0] === "/*" ? 1 : -1
      if (depth === 0) return commentEdge.lastIndex - this.at
    }
    return 0
  }
}
