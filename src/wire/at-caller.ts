/** Returns the error of the server or of pg, with a stack that leads to the caller, as pg makes it. */
export function atCaller(error: unknown): unknown {
  if (error instanceof Error) Error.captureStackTrace(error)
  return error
}
