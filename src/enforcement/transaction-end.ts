/** The statement with which a text begins, where that ends a transaction block, or goes back to a savepoint of it. */
export interface TransactionEnd {
  readonly kind: "commit" | "rollback" | "rollback to" | "prepare"
  /** Whether another transaction begins with it (AND CHAIN). */
  readonly isChained: boolean
  /** The statement, without what is before and after it. */
  readonly text: string
  /** What is after it and its semicolons, comments apart; empty if nothing is. */
  readonly rest: string
}

/** What cannot follow a keyword, as PostgreSQL's lexer cuts words. */
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
/** One that means the same whatever `standard_conforming_strings` says. */
const literal = /'(?:[^'\\]|'')*'/y
const space = /[ \t\n\r\f\v]+|--[^\n\r]*/y
const semicolon = /;/y
const commentEdge = /\/\*|\*\//g

/**
 * The end with which a text begins, as PostgreSQL's lexer and grammar have it; undefined if the text certainly begins with
 * something else, and "uncertain" if that takes more than is known here. For a text that PostgreSQL finds no syntax
 * error in, what is told is certain.
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

/** PREPARE TRANSACTION; PREPARE of a statement is no end. */
function prepareTransaction(tokens: Tokens): Kind | "uncertain" | undefined {
  if (!tokens.take(transaction)) return undefined
  return tokens.take(literal) ? { kind: "prepare", isChained: false } : "uncertain"
}

function endOfBlock(tokens: Tokens, said: string): Kind | "uncertain" | undefined {
  const kind = said === "commit" || said === "end" ? "commit" : "rollback"
  // COMMIT PREPARED and ROLLBACK PREPARED are about the transaction of somebody else.
  if (tokens.take(prepared)) return undefined
  tokens.take(noise)
  if (said === "rollback" && tokens.take(to)) {
    const isWord = tokens.take(savepoint)
    // It may be the name itself.
    return tokens.take(identifier) || isWord ? { kind: "rollback to", isChained: false } : "uncertain"
  }
  if (!tokens.take(and)) return { kind, isChained: false }
  const isChained = !tokens.take(no)
  return tokens.take(chain) ? { kind, isChained } : "uncertain"
}

/** The tokens of a text, one after another; white space and comments are passed over. */
class Tokens {
  readonly #text: string
  /** Where the next token begins, or the text ends. */
  at = 0
  /** Where the last one ended. */
  end = 0

  constructor(text: string) {
    this.#text = text
    this.#skip()
  }

  get isAtEnd(): boolean {
    return this.at === this.#text.length
  }

  /** The next token, if it is of this kind. */
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

  /** PostgreSQL's comments are nested; one that does not end is no comment, but a syntax error. */
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
