import type { Readable } from "node:stream"

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
