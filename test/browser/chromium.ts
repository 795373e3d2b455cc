import { existsSync } from "node:fs"
import type { Browser } from "playwright-core"
import { chromium } from "playwright-core"

/** Where Debian's package installs it; another place can be named. */
const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium"

/** Starts a Chromium that speaks to nobody but the tests' own servers. */
export async function startChromium(): Promise<Browser> {
  if (!existsSync(executablePath))
    throw new Error(
      `There is no ${executablePath}. Install it (apt-get install chromium), or name another in CHROMIUM.`,
    )
  return chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-dev-shm-usage",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
    ],
  })
}
