import { plainLines } from "./plain"
import { note } from "./screen"

/**
 * Reads something after a change. The change was made, so a failure does not fail the command: a note reports it, and
 * the result is undefined.
 */
export async function afterChange<T>(
  { done, subject }: { readonly done: string; readonly subject: string },
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    note(`${done} ${subject} could not be read: ${plainLines((error as Error).message)}`)
    return undefined
  }
}
