import { AsyncResource } from "node:async_hooks"
import type { EventEmitter } from "node:events"
import { allowCopies, type Copyable, handlers, isCommented, rewritten } from "./copies"
import type { Escort } from "./escort"
import { holdEnd, pushInContext } from "./held-end"
import { Packet } from "./packet"
import type { Submittable, ProtocolConnection, Step } from "./protocol"
import type { Passage } from "./seal"

type Handler = (...args: unknown[]) => void
type Listen = (event: string | symbol, listener: (...args: unknown[]) => void) => unknown

/**
 * Properties of a submittable that pg's client and tracing read or set. pg wraps the callback for its
 * `query_timeout` and puts the client's value parsers into `_result`. Tracing ends a span.
 */
const shown = ["text", "name", "values", "cursor", "read", "binary", "_result", "callback"] as const

/**
 * A caller's submittable with a step of ours at the end of its messages.
 *
 * The submittable notices the step only if that fails: as its own error, before it has reported its end. Its
 * text must be one statement. A simple query is sent as an extended one.
 */
export class AccompaniedSubmittable implements Copyable {
  declare text?: string
  declare binary?: unknown
  declare callback?: unknown
  readonly #query: Submittable & { [name in (typeof handlers)[number]]?: Handler }
  readonly #step: Step | undefined
  readonly #escort: Escort
  readonly #passage: Passage
  /**
   * Events of a connection arrive in the context that opened it; the caller's code must run in the caller's
   * own.
   */
  readonly #context = new AsyncResource("Submittable")
  #real: ProtocolConnection | undefined
  /** The connection as the submittable sees it. */
  #connection: ProtocolConnection | undefined
  /** Number of Execute messages that the server has yet to answer. */
  #unanswered = 0
  #isStepSent = false
  #isStepPassed = false
  /** A second Sync would bring a second ReadyForQuery, which would end another query. */
  #isSynced = false
  /** The statement's own CommandComplete, held until the step has passed or the conclusion is complete. */
  #keptBack: unknown[] | undefined
  /** Lets the submittable end, if its end is held until the conclusion is complete. */
  readonly #letEnd: ((hasFailed: boolean) => void) | undefined
  #hasFailed = false
  /** Whether the server has given its last answer to a submittable that has failed. */
  #isOver = false
  #isTaken = false
  #isSent = false
  #refused: () => void = () => undefined
  /** Resolves when an error was reported to it before it was sent. */
  readonly refused = new Promise<void>((resolve) => (this.#refused = resolve))
  /** Another text, set by code that patches pg's client. */
  #rewrittenText: string | undefined

  /** `passage` sends past the seal of the connection. */
  constructor(query: Submittable, escort: Escort, passage: Passage) {
    this.#query = query
    this.#step = escort.step
    this.#escort = escort
    this.#passage = passage
    pushInContext(query, this.#context)
    if (escort.conclude) this.#letEnd = holdEnd(query)
    for (const name of handlers) {
      if (query[name as keyof Submittable] === undefined) continue
      Object.defineProperty(this, name, {
        configurable: true,
        value: (...args: unknown[]) => this.#inContext(() => this.#answered(name, args)),
      })
    }
    for (const name of shown) this.#show(name)
    allowCopies(this)
  }

  /** Whether pg has submitted it, or has reported why it does not. */
  get isTaken(): boolean {
    return this.#isTaken
  }

  /** Whether it is about to end: it has requested the server's last answer. */
  get isEnding(): boolean {
    return this.#isSynced
  }

  /** Shows a property of the submittable, also on objects that inherit from this one and on proxies. */
  #show(name: (typeof shown)[number]): void {
    const query: { -readonly [shown in keyof Submittable]: unknown } = this.#query
    Object.defineProperty(this, name, {
      configurable: true,
      // A copy must have it.
      enumerable: name === "callback",
      get: () => query[name],
      set: (value: never) => {
        if (name === "text") this.#rewrittenText = value
        else query[name] = value
      },
    })
  }

  /** For tracing that ends its span by an event. */
  on(...args: Parameters<Listen>): this {
    this.#listen("on", args)
    return this
  }

  once(...args: Parameters<Listen>): this {
    this.#listen("once", args)
    return this
  }

  submit(connection: ProtocolConnection): Error | null | undefined | void {
    this.#isTaken = true
    const text = this.#rewrittenText
    if (text !== undefined && !isCommented(text, this.#query.text ?? "")) return rewritten(text)
    this.#real = connection
    this.#connection = this.#intercept(connection)
    const error = this.#query.submit(this.#connection)
    this.#isSent = !error
    return error
  }

  /**
   * Concludes the submittable, which has not been told of its end yet. To be called when the server is ready.
   */
  async conclude(): Promise<void> {
    if (!this.#letEnd || this.#hasFailed) return
    try {
      await this.#escort.conclude?.()
    } catch (error) {
      // The server has given its last answer, and must not be asked for another.
      this.#isSynced = this.#isOver = true
      return this.handleError(error as Error)
    }
    this.#letEnd(false)
    this.#inContext(() => {
      this.#isSynced = true
      this.#complete()
      this.#isSynced = false
      this.#forward("handleReadyForQuery", [])
    })
  }

  handleError(error: Error): void {
    // It was already told that it is not sent, and a second error might break it.
    if (this.#hasFailed && !this.#isSent) return
    this.#hasFailed = true
    this.#isTaken = true
    // The step's Sync is already sent, so the server's last answer comes before the submittable can wait for
    // it.
    if (this.#isSynced && !this.#isOver) this.#real?.once("readyForQuery", () => (this.#isOver = true))
    this.#letEnd?.(true)
    const isOfStep = this.#isStepSent && this.#unanswered === 0 && !this.#isStepPassed
    const told = this.#escort.translate?.(error, isOfStep) ?? error
    this.#inContext(() => this.#query.handleError(told, this.#connection as ProtocolConnection))
    if (!this.#isSent) this.#refused()
  }

  #inContext(work: () => void): void {
    this.#context.runInAsyncScope(work)
  }

  #answered(name: (typeof handlers)[number], args: unknown[]): void {
    if (name === "handleReadyForQuery") {
      if (this.#letEnd && !this.#hasFailed) {
        this.#isSynced = false
        return
      }
      this.#complete()
      this.#isSynced = false
    }
    if (name === "handleCommandComplete" && this.#letEnd && !this.#hasFailed) {
      this.#keptBack = args
      // A submittable that takes its rows in portions synchronizes only when it learns of this.
      if (this.#unanswered > 0) this.#connection?.sync()
      return
    }
    const isCompletion =
      name === "handleCommandComplete" || name === "handlePortalSuspended" || name === "handleEmptyQuery"
    if (this.#step && (isCompletion || name === "handleDataRow")) {
      if (this.#isStepSent && this.#unanswered === 0) {
        if (isCompletion) this.#isStepPassed = true
        return
      }
      if (isCompletion) this.#unanswered--
      if (name === "handleCommandComplete" && !this.#isStepSent) {
        // The submittable has only its Sync left. It is sent now, in one round trip with the step.
        this.#keptBack = args
        this.#connection?.sync()
        return
      }
    }
    if (name === "handleCommandComplete" && this.#unanswered > 0 && !this.#isSynced) {
      // pg-cursor (2.22) ignores an error that comes after this, as from the commit, and would never end.
      this.#keptBack = args
      this.#connection?.sync()
      return
    }
    this.#forward(name, args)
  }

  /** Reports the completion of the statement, when its transaction is over, too. */
  #complete(): void {
    const completion = this.#keptBack
    this.#keptBack = undefined
    if (completion && !this.#hasFailed) this.#forward("handleCommandComplete", completion)
  }

  #listen(method: "on" | "once", args: Parameters<Listen>): void {
    const emitter = this.#query as unknown as Partial<EventEmitter>
    emitter[method]?.(...args)
  }

  #forward(name: (typeof handlers)[number], [message]: unknown[]): void {
    const takesConnectionOnly =
      name === "handlePortalSuspended" || name === "handleEmptyQuery" || message === undefined
    if (takesConnectionOnly) this.#query[name]?.(this.#connection)
    else this.#query[name]?.(message, this.#connection)
  }

  /** Parsed each time, because the submittable may leave any state behind. */
  #sendStep({ text, values }: Step): void {
    const packet = new Packet(this.#real as ProtocolConnection, this.#passage)
    packet.addStep({ text, values }, new Map())
    packet.send()
  }

  #intercept(connection: ProtocolConnection): ProtocolConnection {
    const execute = (message: { portal?: string; rows?: number }) => {
      const refusal = this.#escort.refuse?.()
      if (refusal)
        return this.#inContext(() => this.#query.handleError(refusal, this.#connection as ProtocolConnection))
      if (!this.#isStepSent) this.#unanswered++
      connection.execute(message)
    }
    const step = this.#step
    const sync = () => {
      if (this.#isSynced) return
      this.#isSynced = true
      // Also after an error: if it did not come from the server, the step undoes the rest.
      if (step && !this.#isStepSent) {
        this.#isStepSent = true
        this.#sendStep(step)
      }
      connection.sync()
    }
    const { isExtended = false } = this.#escort
    const once = (event: string, listener: Handler) => {
      if (event === "readyForQuery" && this.#isOver) setImmediate(listener)
      else hearOnce(connection, event, listener)
    }
    if (!step && !this.#letEnd && !isExtended)
      return withMethods(connection, { ...this.#passage, execute, sync, once })
    const close = (message: { type: "P" | "S"; name: string }) => {
      // The Sync has already closed the portal.
      if (message.type === "S" || !this.#isSynced) connection.close(message)
    }
    if (!step && !isExtended) return withMethods(connection, { ...this.#passage, execute, sync, once, close })
    const query = (text: string) => {
      this.#passage.parse.call(connection, { text })
      this.#passage.bind.call(connection, { values: [] })
      connection.describe({ type: "P", name: "" })
      execute({})
      sync()
    }
    return withMethods(connection, { ...this.#passage, execute, sync, once, close, query })
  }
}

/**
 * Listens like `once`, in the listener's context. The listener can be removed by itself: within two wrappers,
 * its own and that of the context, Node would not find it.
 */
function hearOnce(connection: ProtocolConnection, event: string, listener: Handler): void {
  const context = new AsyncResource("QueryObjectListener")
  const inContext = (...args: unknown[]) => {
    connection.removeListener(event, inContext)
    return context.runInAsyncScope(listener, undefined, ...args)
  }
  connection.on(event, Object.assign(inContext, { listener }))
}

function withMethods(
  connection: ProtocolConnection,
  methods: Record<string | symbol, unknown>,
): ProtocolConnection {
  return new Proxy(connection, {
    get: (target, property) => methods[property] ?? Reflect.get(target, property),
  })
}
