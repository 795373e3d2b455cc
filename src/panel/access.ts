/** A person who may see the panel. */
export interface Viewer {
  /** The user in whose name changes are made. */
  readonly user: string
  /** A viewer sees everything and changes nothing. A maintainer may also change the mode. */
  readonly role: "viewer" | "maintainer"
}

/** Tells who sends a request; undefined for nobody. It may ask a session store. */
export type Authorize = (request: Request) => Viewer | undefined | Promise<Viewer | undefined>

/** The viewer of a request. Throws if `authorize` throws, or returns something else. */
export async function viewerOf(authorize: Authorize, request: Request): Promise<Viewer | undefined> {
  const viewer: unknown = await authorize(request)
  if (viewer === undefined || viewer === null) return undefined
  const { user, role } = viewer as Partial<Viewer>
  if (typeof user === "string" && user !== "" && (role === "viewer" || role === "maintainer"))
    return { user, role }
  throw new TypeError('authorize must return { user, role: "viewer" | "maintainer" }, or undefined.')
}

/** Variables of a request whose sender is known. */
export type Environment = { Variables: { viewer: Viewer } }
