import type { Panel, Viewer } from "../../src/panel"

/** Identifies users by a header: `alice` is a maintainer, `viewer:bob` may only look. */
export function authorize(request: Request): Viewer | undefined {
  const header = request.headers.get("x-user")
  if (header === null) return undefined
  const [role, user] = header.startsWith("viewer:")
    ? (["viewer", header.slice(7)] as const)
    : (["maintainer", header] as const)
  return { role, user }
}

/** A browser without JavaScript: keeps the cookie, and sends the forms of the page that it has read. */
export class PlainBrowser {
  readonly #panel: Panel
  readonly #origin: string
  readonly #base: string
  readonly #headers: Readonly<Record<string, string>>
  #cookie = ""
  #page = ""

  /** `user` is what the tests' `authorize` reads. */
  constructor(panel: Panel, user: string | undefined, { origin = "http://panel.test", base = "" } = {}) {
    this.#panel = panel
    this.#origin = origin
    this.#base = base
    this.#headers = user === undefined ? {} : { "x-user": user }
  }

  /** Reads a page of the panel. */
  async open(path = "/"): Promise<Response> {
    return this.#remember(await this.#panel.fetch(this.#request(path)))
  }

  /** Sends the form of an action, with the hidden fields of the last page and these fields. */
  async send(
    action: string,
    fields: Readonly<Record<string, string>> = {},
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const form = this.#formOf(action)
    const body = new URLSearchParams({ ...form, ...fields })
    const request = this.#request(action, {
      method: "POST",
      body,
      headers: { origin: this.#origin, ...headers },
    })
    return this.#remember(await this.#panel.fetch(request))
  }

  /** Sends a form, and answers the question that the panel asks before it acts. */
  async confirm(action: string, fields: Readonly<Record<string, string>> = {}): Promise<Response> {
    const asked = await this.send(action, fields)
    if (asked.status !== 200 || !this.#page.includes('id="question"'))
      throw new Error(`The panel has not asked, but answered ${asked.status}.`)
    return this.send(action)
  }

  /** The text of the last page. */
  get page(): string {
    return this.#page
  }

  #request(
    path: string,
    { headers = {}, ...init }: RequestInit & { headers?: Readonly<Record<string, string>> } = {},
  ): Request {
    return new Request(`${this.#origin}${this.#base}${path}`, {
      ...init,
      headers: { ...this.#headers, ...(this.#cookie && { cookie: this.#cookie }), ...headers },
    })
  }

  async #remember(response: Response): Promise<Response> {
    const [cookie] = (response.headers.get("set-cookie") ?? "").split(";")
    if (cookie) this.#cookie = cookie
    const text = await response.clone().text()
    if (response.headers.get("content-type")?.startsWith("text/html")) this.#page = text
    return response
  }

  /** The hidden fields of a form on the last page. */
  #formOf(action: string): Record<string, string> {
    const forms = [...this.#page.matchAll(/<form[^>]*action="([^"]*)"[^>]*>([^]*?)<\/form>/g)]
    const path = ["/preflight", "/form"].includes(action) ? "/actions/switch" : action
    // A form that the page does not show is sent with the token of another.
    const [, , form = ""] = forms.find(([, target = ""]) => target.endsWith(path)) ?? forms[0] ?? []
    const hidden = [...form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)]
    return Object.fromEntries(hidden.map(([, name = "", value = ""]) => [name, unescaped(value)]))
  }
}

/** The text of an attribute. */
function unescaped(html: string): string {
  const characters: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" }
  return html.replaceAll(/&(lt|gt|quot|#39|amp);/g, (_, name: string) => characters[name] ?? "")
}
