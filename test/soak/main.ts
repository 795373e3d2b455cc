// npm run soak: mixed load, random switches and random faults for SOAK_MINUTES (30), determined by SOAK_SEED.
// With SOAK_BROKEN=1, `enter()` is broken, and the soak must detect that. Exits with 1 after a leak, a hang
// or an inconsistency.
import "reflect-metadata"
import { soak } from "./conductor"
import { findingKinds } from "./findings"
import { printReport } from "./report"
import { settingsOf } from "./settings"

async function main(): Promise<void> {
  const settings = settingsOf(process.env)
  console.log(
    `Seed ${settings.seed}, ${settings.durationMs / 60_000} minutes${settings.isBroken ? ", broken" : ""}.`,
  )
  const outcome = await soak(settings)
  printReport(outcome, settings)
  if (findingKinds.some((kind) => outcome.findings.count(kind) > 0)) process.exitCode = 1
}

main().catch((error: unknown) => {
  console.error(error instanceof Error && error.message.startsWith("SOAK_") ? error.message : error)
  process.exitCode = 1
})
