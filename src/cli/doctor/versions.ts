import { processesOf } from "../text/instances"
import { installedVersion, packageVersion } from "../versions"
import { type Check, rowOf } from "./examination"
import type { Finding } from "./finding"

const oldestServer = 14

/** Examines the versions of the server, of this package, TypeORM and pg. */
export const checkVersions: Check = async ({ client }) => {
  const { number, name } = await rowOf<{ number: number; name: string }>(
    client,
    "select current_setting('server_version_num')::int as number, current_setting('server_version') as name",
  )
  const server: Finding =
    number >= oldestServer * 10_000
      ? { severity: "ok", check: "server", message: `PostgreSQL ${name}.` }
      : {
          severity: "error",
          check: "server",
          message: `PostgreSQL ${name} is too old.`,
          remedy: `Upgrade to PostgreSQL ${oldestServer} or later.`,
        }
  const [typeorm, pg] = ["typeorm", "pg"].map(installedVersion)
  const packages: Finding = {
    severity: "ok",
    check: "packages",
    message: `typeorm-maintenance-mode ${packageVersion()}, TypeORM ${typeorm ?? "not found"}, pg ${pg ?? "not found"}.`,
  }
  return [server, packages]
}

/** Examines whether the instances run this version of the package. */
export const checkInstances: Check = async ({ report }) => {
  if (!report) return []
  const { instances, epoch, windows } = report
  if (instances.length === 0) {
    const isAnnounced = windows.some(({ position }) => position === "announced")
    return [
      {
        severity: isAnnounced ? "warning" : "note",
        check: "instances",
        message: `No instance is connected${isAnnounced ? ", so nothing begins the announced windows" : ""}.`,
        remedy: "Start an application in which the plugin is installed.",
      },
    ]
  }
  const own = packageVersion()
  const others = instances.filter(({ version }) => version !== own)
  const late = instances.filter((instance) => instance.epoch < epoch)
  return [
    ...(others.length > 0
      ? [
          {
            severity: "warning",
            check: "instances",
            message: `${processesOf(others)} ${others.length === 1 ? "runs" : "run"} another version (${[...new Set(others.map(({ version }) => version))].join(", ")}; this is ${own}).`,
            remedy: "Deploy one version everywhere.",
          } as const,
        ]
      : []),
    ...(late.length > 0
      ? [
          {
            severity: "warning",
            check: "instances",
            message: `${processesOf(late)} ${late.length === 1 ? "has" : "have"} not seen the present state yet. The database refuses their writes all the same.`,
            remedy: "Look again in a few seconds. If it stays so, look at their connections to the database.",
          } as const,
        ]
      : []),
    { severity: "ok", check: "instances", message: `${instances.length} connected.` },
  ]
}
