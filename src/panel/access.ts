import { setTimeout as pause } from "node:timers/promises"

/** Time within which `authorize` must answer, in milliseconds. */
const withinMs = 30_000

/** A person who may see the panel. */
export interface Viewer {
  /** The user in whose name changes are made. */
  readonly user: string
  /** A viewer sees everything and changes nothing. A maintainer may also change the mode. */
  readonly role: "viewer" | "maintainer"
}

/** Reason for which a viewer changes nothing. */
export const viewersOnlyLook = "Your role is viewer: you can see everything and change nothing."

/**
 * Identifies the sender of a request; returns undefined to deny access. It may ask a session store. The request is as
 * the server hands it over: Express has removed the path of `app.use()` from its URL. See `nodeRequestOf()` for what
 * middleware has put into the server's own request.
 */
export type Authorize = (request: Request) => Viewer | undefined | Promise<Viewer | undefined>

/** Variables and bindings of a request whose sender is known. */
export interface Environment {
  Variables: { viewer: Viewer }
  /** The request as the panel has received it, with the base path if that was not removed. */
  Bindings: { received: Request }
}

/**
 * Identifies the sender of a request. Throws an Error if `authorize` throws anything, returns something else, or does
 * not answer within 30 seconds.
 */
export async function viewerOf(authorize: Authorize, request: Request): Promise<Viewer | undefined> {
  const answered = new AbortController()
  try {
    const late = pause(withinMs, undefined, { ref: false, signal: answered.signal }).then(() => {
      throw new Error(`authorize has not answered within ${withinMs / 1000} seconds.`)
    })
    late.catch(() => undefined)
    const asked = (async () => authorize(request))()
    return checked(await Promise.race([asked, late]))
  } catch (error) {
    throw new Error(`authorize failed: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  } finally {
    answered.abort()
  }
}

function checked(viewer: unknown): Viewer | undefined {
  if (viewer === undefined || viewer === null) return undefined
  const { user, role } = viewer as Partial<Viewer>
  if (typeof user === "string" && user !== "" && (role === "viewer" || role === "maintainer"))
    return { user, role }
  throw new TypeError('It must return { user, role: "viewer" | "maintainer" }, or undefined.')
}
