import { AsyncLocalStorage } from "node:async_hooks"
import { sendStep } from "./pipelined-query"
import type { ForeignQuery, PreparedNames, ProtocolConnection, Step } from "./protocol"

type Handler = (...args: unknown[]) => void

/** What pg's client calls with the server's answers, besides `submit` and `handleError`. */
const handlers = [
  "handleRowDescription",
  "handleDataRow",
  "handlePortalSuspended",
  "handleEmptyQuery",
  "handleCommandComplete",
  "handleCopyInResponse",
  "handleCopyData",
  "handleReadyForQuery",
] as const

/** The step is always parsed anew: the object may have any state of its own. */
const noneKept: PreparedNames = new Set()

/**
 * A caller's query object with a step of ours at the end of what it sends. The object learns of the step only if that
 * fails: as its own error, before it has reported its end. Its text must be one statement; a simple query is sent as
 * an extended one.
 */
export class AccompaniedQuery {
  readonly #query: ForeignQuery & { [name in (typeof handlers)[number]]?: Handler }
  readonly #step: Step | undefined
  readonly #translate: (error: Error) => Error
  /** The events of a connection come in the context that opened it; the caller's code is to run in the caller's own. */
  readonly #inContext = AsyncLocalStorage.snapshot()
  #connection: ProtocolConnection | undefined
  /** How many Execute messages the server has yet to answer. */
  #unanswered = 0
  #isStepSent = false
  #hasFailed = false
  /** The statement's own CommandComplete, kept back until the step has passed. */
  #keptBack: unknown[] | undefined

  constructor(query: ForeignQuery, step: Step | undefined, translate: (error: Error) => Error) {
    this.#query = query
    this.#step = step
    this.#translate = translate
    for (const name of handlers) {
      if (query[name as keyof ForeignQuery] === undefined) continue
      Object.defineProperty(this, name, {
        value: (...args: unknown[]) => this.#inContext(() => this.#answered(name, args)),
      })
    }
  }

  submit(connection: ProtocolConnection): Error | null | undefined | void {
    this.#connection = this.#step ? this.#intercept(connection, this.#step) : connection
    return this.#query.submit(this.#connection)
  }

  handleError(error: Error): void {
    this.#hasFailed = true
    this.#inContext(() =>
      this.#query.handleError(this.#translate(error), this.#connection as ProtocolConnection),
    )
  }

  #answered(name: (typeof handlers)[number], args: unknown[]): void {
    const isCompletion =
      name === "handleCommandComplete" || name === "handlePortalSuspended" || name === "handleEmptyQuery"
    if (this.#step && (isCompletion || name === "handleDataRow")) {
      if (this.#isStepSent && this.#unanswered === 0) {
        if (isCompletion && this.#keptBack) this.#forward("handleCommandComplete", this.#keptBack)
        return
      }
      if (isCompletion) this.#unanswered--
      if (name === "handleCommandComplete" && !this.#isStepSent) {
        this.#keptBack = args
        this.#isStepSent = true
        sendStep(this.#connection as ProtocolConnection, this.#step, noneKept)
        this.#connection?.flush()
        return
      }
    }
    this.#forward(name, args)
  }

  #forward(name: (typeof handlers)[number], [message]: unknown[]): void {
    const takesConnectionOnly =
      name === "handlePortalSuspended" || name === "handleEmptyQuery" || message === undefined
    if (takesConnectionOnly) this.#query[name]?.(this.#connection)
    else this.#query[name]?.(message, this.#connection)
  }

  /** The connection as the query object sees it. */
  #intercept(connection: ProtocolConnection, step: Step): ProtocolConnection {
    const execute = (message: { portal?: string; rows?: number }) => {
      if (!this.#isStepSent) this.#unanswered++
      connection.execute(message)
    }
    const sync = () => {
      if (!this.#isStepSent && !this.#hasFailed) {
        this.#isStepSent = true
        sendStep(connection, step, noneKept)
      }
      connection.sync()
    }
    const query = (text: string) => {
      connection.parse({ text })
      connection.bind({ values: [] })
      connection.describe({ type: "P", name: "" })
      execute({})
      sync()
    }
    const replaced: Record<string | symbol, unknown> = { execute, sync, query }
    return new Proxy(connection, {
      get: (target, property) => replaced[property] ?? Reflect.get(target, property),
    })
  }
}
