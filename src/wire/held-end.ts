import type { AsyncResource } from "node:async_hooks"
import type { Readable } from "node:stream"
import type { Submittable } from "./protocol"

/**
 * Keeps a submittable that is a stream from ending; returns a function that restores it, and ends it if it
 * was about to end. pg-copy-streams ends with the last of the data, before the server has reported success.
 */
export function holdEnd(query: object): (hasFailed: boolean) => void {
  const stream = query as Partial<Pick<Readable, "push" | "_read">>
  const { push } = stream
  if (typeof push !== "function" || typeof stream._read !== "function") return () => undefined
  let isAtEnd = false
  stream.push = (chunk, encoding) => {
    if (chunk !== null) return push.call(query, chunk, encoding)
    isAtEnd = true
    // It has returned the socket and must no longer read from it, although it has not ended yet.
    stream._read = () => undefined
    return false
  }
  return (hasFailed) => {
    delete stream.push
    delete stream._read
    if (isAtEnd && !hasFailed) push.call(query, null)
  }
}

/** Makes a stream that reads the socket itself (pg-copy-streams) emit its data in a context. */
export function pushInContext(query: Submittable, context: AsyncResource): void {
  const stream = query as Partial<Pick<Readable, "push">> & { readonly handleDataRow?: unknown }
  const { push } = stream
  if (typeof push !== "function" || stream.handleDataRow) return
  stream.push = (chunk, encoding) => context.runInAsyncScope(push, query, chunk, encoding)
}
