import { AsyncLocalStorage } from "node:async_hooks"
import { Packet } from "./packet"
import type { ForeignQuery, ProtocolConnection, Step } from "./protocol"

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

/** What goes with a caller's query object. */
export interface Escort {
  /** Sent before its Sync. */
  readonly steps?: readonly Step[]
  /** What the object is told in the place of an error. */
  translate?(error: Error): Error
  /** Asked before each portion of rows; an error ends the object with it. */
  refuse?(): Error | undefined
}

/**
 * A caller's query object with steps of ours at the end of what it sends. The object learns of them only if one
 * fails: as its own error, before it has reported its end. Its text must be one statement; a simple query is sent as
 * an extended one.
 */
export class AccompaniedQuery {
  readonly #query: ForeignQuery & { [name in (typeof handlers)[number]]?: Handler }
  readonly #steps: readonly Step[]
  readonly #escort: Escort
  /** The events of a connection come in the context that opened it; the caller's code is to run in the caller's own. */
  readonly #inContext = AsyncLocalStorage.snapshot()
  #real: ProtocolConnection | undefined
  /** The connection as the query object sees it. */
  #connection: ProtocolConnection | undefined
  /** How many Execute messages the server has yet to answer. */
  #unanswered = 0
  #areStepsSent = false
  /** How many of the steps have passed. */
  #passed = 0
  /** A second Sync would bring a second ReadyForQuery, which would end somebody else's query. */
  #isSynced = false
  /** The statement's own CommandComplete, kept back until the steps have passed. */
  #keptBack: unknown[] | undefined

  constructor(query: ForeignQuery, escort: Escort) {
    this.#query = query
    this.#steps = escort.steps ?? []
    this.#escort = escort
    for (const name of handlers) {
      if (query[name as keyof ForeignQuery] === undefined) continue
      Object.defineProperty(this, name, {
        value: (...args: unknown[]) => this.#inContext(() => this.#answered(name, args)),
      })
    }
  }

  /** pg puts its timer of `query_timeout` around this. */
  get callback(): ForeignQuery["callback"] {
    return this.#query.callback
  }

  set callback(callback: ForeignQuery["callback"]) {
    this.#query.callback = callback
  }

  submit(connection: ProtocolConnection): Error | null | undefined | void {
    this.#real = connection
    this.#connection = this.#intercept(connection)
    return this.#query.submit(this.#connection)
  }

  handleError(error: Error): void {
    const told = this.#escort.translate?.(error) ?? error
    this.#inContext(() => this.#query.handleError(told, this.#connection as ProtocolConnection))
  }

  #answered(name: (typeof handlers)[number], args: unknown[]): void {
    if (name === "handleReadyForQuery") this.#isSynced = false
    const isCompletion =
      name === "handleCommandComplete" || name === "handlePortalSuspended" || name === "handleEmptyQuery"
    if (this.#steps.length > 0 && (isCompletion || name === "handleDataRow")) {
      if (this.#areStepsSent && this.#unanswered === 0) {
        if (isCompletion) this.#passed++
        if (this.#passed === this.#steps.length && this.#keptBack)
          this.#forward("handleCommandComplete", this.#keptBack)
        return
      }
      if (isCompletion) this.#unanswered--
      if (name === "handleCommandComplete" && !this.#areStepsSent) {
        // All that the object has left is to synchronize, which is done for it now, in one round trip with the steps.
        this.#keptBack = args
        this.#connection?.sync()
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

  /** Parsed anew each time: the object may have any state of its own. */
  #sendSteps(): void {
    const packet = new Packet(this.#real as ProtocolConnection)
    for (const { text, values } of this.#steps) packet.addStep({ text, values }, new Map())
    packet.send()
  }

  #intercept(connection: ProtocolConnection): ProtocolConnection {
    const execute = (message: { portal?: string; rows?: number }) => {
      const refusal = this.#escort.refuse?.()
      if (refusal)
        return this.#inContext(() => this.#query.handleError(refusal, this.#connection as ProtocolConnection))
      if (!this.#areStepsSent) this.#unanswered++
      connection.execute(message)
    }
    const isAlone = this.#steps.length === 0
    const sync = () => {
      if (this.#isSynced) return
      this.#isSynced = true
      // Also after an error: if it was not the server's, the steps are what undoes the rest.
      if (!isAlone && !this.#areStepsSent) {
        this.#areStepsSent = true
        this.#sendSteps()
      }
      connection.sync()
    }
    if (isAlone) return withMethods(connection, { execute, sync })
    const close = (message: { type: "P" | "S"; name: string }) => {
      // A portal is gone by its Sync.
      if (message.type === "S" || !this.#isSynced) connection.close(message)
    }
    const query = (text: string) => {
      connection.parse({ text })
      connection.bind({ values: [] })
      connection.describe({ type: "P", name: "" })
      execute({})
      sync()
    }
    return withMethods(connection, { execute, sync, close, query })
  }
}

function withMethods(
  connection: ProtocolConnection,
  methods: Record<string | symbol, unknown>,
): ProtocolConnection {
  return new Proxy(connection, {
    get: (target, property) => methods[property] ?? Reflect.get(target, property),
  })
}
