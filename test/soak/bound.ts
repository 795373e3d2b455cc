/** Maximum duration of any call, in milliseconds. */
export const boundMs = 60_000

/** Thrown when work does not end in time. */
export class Hang extends Error {}

/** Resolves like the work, or rejects with a Hang that names it if it takes too long. */
export async function bounded<T>(what: string, work: Promise<T>, withinMs = boundMs): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Hang(`${what} takes more than ${withinMs / 1000} s`)), withinMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
