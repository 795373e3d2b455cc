import { randomBytes, timingSafeEqual } from "node:crypto"
import type { Context } from "hono"
import { getCookie, setCookie } from "hono/cookie"

/** Name of the cookie, and of the hidden field that must repeat it. */
export const tokenName = "maintenance_token"
const tokenPattern = /^[0-9a-f]{64}$/

/**
 * Returns the token of a browser, which its forms must repeat (OWASP, double submit). It needs no memory, so several
 * instances of an application can serve one browser. It is the second check: the first is the origin of the form,
 * because a sibling domain could set this cookie.
 */
export function tokenFor(context: Context, path: string): string {
  const known = tokenIn(context)
  if (known !== undefined) return known
  const token = randomBytes(32).toString("hex")
  const isSecure =
    new URL(context.req.url).protocol === "https:" ||
    (context.req.header("x-forwarded-proto") ?? "").startsWith("https")
  setCookie(context, tokenName, token, { path, httpOnly: true, sameSite: "Strict", secure: isSecure })
  return token
}

/** Whether a form repeats the token of its browser. */
export function isOwnForm(context: Context, sent: unknown): boolean {
  const token = tokenIn(context)
  if (token === undefined || typeof sent !== "string") return false
  const [one, other] = [Buffer.from(sent), Buffer.from(token)]
  return one.length === other.length && timingSafeEqual(one, other)
}

/** The token of a browser, if it has one that a page has given. */
function tokenIn(context: Context): string | undefined {
  const token = getCookie(context, tokenName)
  return token !== undefined && tokenPattern.test(token) ? token : undefined
}

/**
 * Whether a form comes from the host to which it was sent, for browsers that send no `Sec-Fetch-Site`. A proxy may have
 * ended TLS, or have changed the host.
 */
export function isOwnOrigin(origin: string, context: Context): boolean {
  // A browser that names the relation of the sites has been judged by it.
  if (context.req.header("sec-fetch-site") !== undefined) return false
  const host = context.req.header("host") ?? new URL(context.req.url).host
  const forwarded = context.req.header("x-forwarded-host")?.split(",")[0]?.trim()
  try {
    const sender = new URL(origin).host
    return sender === host || sender === forwarded
  } catch {
    // "null", as from a frame without an origin.
    return false
  }
}
