import { randomBytes, timingSafeEqual } from "node:crypto"
import type { Context } from "hono"
import { getCookie, setCookie } from "hono/cookie"

/** Name of the cookie, and of the hidden field that must repeat it. */
export const tokenName = "maintenance_token"

/**
 * The token of a browser, which its forms must send along with the cookie: another site can neither read nor set it.
 * (OWASP, double submit.) It needs no memory, so several instances of an application can serve one browser.
 */
export function tokenFor(context: Context, path: string): string {
  const known = getCookie(context, tokenName)
  if (known !== undefined && /^[0-9a-f]{64}$/.test(known)) return known
  const token = randomBytes(32).toString("hex")
  const isSecure =
    new URL(context.req.url).protocol === "https:" || context.req.header("x-forwarded-proto") === "https"
  setCookie(context, tokenName, token, { path, httpOnly: true, sameSite: "Strict", secure: isSecure })
  return token
}

/** Whether a form was sent by a page of this panel, in this browser. */
export function isOwnForm(context: Context, sent: unknown): boolean {
  const token = getCookie(context, tokenName)
  if (token === undefined || typeof sent !== "string") return false
  const [one, other] = [Buffer.from(sent), Buffer.from(token)]
  return one.length === other.length && timingSafeEqual(one, other)
}
