import type { Authorize } from "./access"

/** Options for `createPanel()`. */
export interface PanelOptions {
  /**
   * Identifies the sender of a request, and returns `{ user, role }`; undefined to deny access. It is called for every
   * request, and every 15 seconds while a page is open. If it throws, the answer is a 500 without details.
   */
  readonly authorize: Authorize
  /** Path under which browsers see the panel, such as `/admin/maintenance`. Default: the root. */
  readonly basePath?: string | undefined
  /** Title of the page. Default: `Maintenance`. */
  readonly title?: string | undefined
  /** Whether the page shows the SQL of blockers, with all literals. Default: false. */
  readonly showsQueries?: boolean | undefined
}

/** Options with their defaults. */
export interface Settings {
  readonly authorize: Authorize
  /** The path of the panel, without a slash at its end; empty for the root. */
  readonly base: string
  readonly title: string
  readonly showsQueries: boolean
}

const guide =
  "See https://github.com/typeorm-maintenance-mode/typeorm-maintenance-mode/blob/main/docs/guides/panel.md"

/** Checks the options, and adds the defaults. Throws TypeError. */
export function checkSettings(options: PanelOptions): Settings {
  const { authorize, basePath = "", title = "Maintenance", showsQueries = false, ...others } = options ?? {}
  if (typeof authorize !== "function")
    throw new TypeError(
      "createPanel() needs the option authorize: a function that returns { user, role } for a request, or " +
        `undefined to deny access. ${guide}`,
    )
  if (typeof basePath !== "string" || !isPath(basePath))
    throw new TypeError(`The option basePath must be a path such as "/admin/maintenance". ${guide}`)
  if (typeof title !== "string") throw new TypeError(`The option title must be a string. ${guide}`)
  if (typeof showsQueries !== "boolean")
    throw new TypeError(`The option showsQueries must be a boolean. ${guide}`)
  const [unknown] = Object.keys(others)
  if (unknown !== undefined)
    throw new TypeError(
      `createPanel() has no option ${unknown}. Its options are authorize, basePath, title and showsQueries. ${guide}`,
    )
  return { authorize, base: basePath.replace(/\/$/, ""), title, showsQueries }
}

/** Whether browsers take a text as the path that it is: not as `//host`, and without `..`. */
function isPath(text: string): boolean {
  if (text === "") return true
  if (!/^(\/[\w.~%!$&'()*+,=:@-]+)*\/?$/.test(text)) return false
  const whole = "http://localhost"
  return (
    URL.canParse(whole + text) && new URL(whole + text).pathname === text && !/%(?![\da-f]{2})/i.test(text)
  )
}
