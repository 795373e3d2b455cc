import { codeOf, sqlState } from "../sqlstate"
import { notSent } from "./copies"
import type { Companions, PipelinedQuery } from "./pipelined-query"
import type { PostponedStart } from "./postponed-start"
import type { PreparedStatements, Result, WireClient } from "./protocol"
import type { ServerStatus } from "./server-status"

/** The parts needed to submit a statement. */
export interface SubmissionParts {
  /** pg's own `query`. */
  readonly query: WireClient["query"]
  readonly server: ServerStatus
  readonly start: PostponedStart
  /** Rolls back, if there is anything to roll back. */
  rollBack(): Promise<void>
  /** Ends the connection at once, with an error for whatever runs. */
  destroy(error: Error): void
}

/** Delivers a result, and may end the turn. */
export type Done = (result: Result) => Result | Promise<Result>

/** Hands statements to pg one at a time, and determines their outcome. */
export class Submissions {
  readonly #parts: SubmissionParts
  readonly #prepared: PreparedStatements = new Map()
  #isGivenUp = false
  /** The reason for closing the connection, if a statement reached pg past this package. */
  #intrusion: Error | undefined
  /** Makes the running query fail. */
  #fail: ((error: Error) => void) | undefined

  constructor(parts: SubmissionParts) {
    this.#parts = parts
  }

  /** Whether pg has stopped waiting for an answer (`query_timeout`) that has not come yet. */
  get isGivenUp(): boolean {
    return this.#isGivenUp && !this.#parts.server.isReady
  }

  /** The reason for closing the connection, if a statement reached pg past this package. */
  get intrusion(): Error | undefined {
    return this.#intrusion
  }

  /** Makes all steps be parsed again, because the session may have forgotten them. */
  forgetPrepared(): void {
    this.#prepared.clear()
  }

  /** Sends a statement with its companions; resolves with the outcome of `done` for the result. */
  submit(query: PipelinedQuery, companions: Companions | undefined, done: Done): Promise<Result> {
    const { server, start } = this.#parts
    const wasIdle = server.current === "I"
    const first = companions?.before?.[0]
    this.#isGivenUp = false
    if (companions) query.accompany(companions, this.#prepared)
    return new Promise<Result>((resolve, reject) => {
      this.#fail = reject
      query.hand(this.#parts.query, (error, result) => {
        if (!error && !query.isSent) return reject(this.intruded(notSent(query.text)))
        if (!error) return resolve(done(result))
        this.#isGivenUp = !("code" in error)
        if (!query.isSent) start.notSent(first)
        if (wasIdle && isForgotten(query, error)) resolve(this.#submitAnew(query, companions, done))
        else reject(error)
      })
    })
  }

  /**
   * Closes the connection because a statement reached pg past this package, or did not reach it. The running
   * query fails with this error.
   */
  intruded(error: Error): Error {
    this.#intrusion = error
    this.#parts.destroy(error)
    this.#fail?.(error)
    return error
  }

  /**
   * Submits a statement again when a step was no longer prepared. It began outside a transaction, so nothing
   * has happened.
   */
  async #submitAnew(query: PipelinedQuery, companions: Companions | undefined, done: Done): Promise<Result> {
    this.#prepared.clear()
    await this.#parts.rollBack()
    const renewed = query.renew()
    try {
      return await this.submit(renewed, companions, done)
    } finally {
      query.failure = renewed.failure
    }
  }
}

function isForgotten({ failure }: PipelinedQuery, error: Error): boolean {
  return typeof failure === "object" && codeOf(error) === sqlState.noSuchStatement
}
