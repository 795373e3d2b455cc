import type { PipelinedQueryClass } from "./pipelined-query"

/** The parts of its owner that a session needs. */
export interface SessionOwner {
  /** Whether steps may be kept prepared. */
  readonly isPrepared: boolean
  /** Called when the server is ready after each turn. The next turn waits for the promise it returns. */
  settle(): Promise<void> | undefined
}

/** The parameters for the session of a connection. */
export interface SessionOptions {
  readonly PipelinedQuery: PipelinedQueryClass
  readonly owner: SessionOwner
  /** Whether the connection was not used before. */
  readonly isNew: boolean
}
