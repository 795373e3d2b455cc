import type { Readable } from "node:stream"

/**
 * Keeps a query object that is a stream from ending (pg-copy-streams ends with the last of the data, before the server has
 * said that all went well); returns what gives it back as it was, and has it end if it was about to.
 */
export function holdEnd(query: object): (hasFailed: boolean) => void {
  const stream = query as Partial<Pick<Readable, "push" | "_read">>
  const { push } = stream
  if (typeof push !== "function" || typeof stream._read !== "function") return () => undefined
  let isAtEnd = false
  stream.push = (chunk, encoding) => {
    if (chunk !== null) return push.call(query, chunk, encoding)
    isAtEnd = true
    // It has given the socket back, and must not read from it any more, though it has not ended yet.
    stream._read = () => undefined
    return false
  }
  return (hasFailed) => {
    delete stream.push
    delete stream._read
    if (isAtEnd && !hasFailed) push.call(query, null)
  }
}
