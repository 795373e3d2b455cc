import type { HostDriver } from "./host"
import type { Lending } from "./lending"
import { fencedQueryRunnerClass, type RunnerContext } from "./query-runner"
import { replaceMethod, type Undo } from "./replace-method"
import type { StartUp } from "./start-up"

/** Marks a driver in which the plugin is installed, for every copy of this package. */
const installedKey = Symbol.for("typeorm-maintenance-mode.installed")

/** Whether any copy of this package is installed in a driver. */
export function hasPlugin(driver: HostDriver): boolean {
  return installedKey in driver
}

/** The parts that the replaced methods of the driver delegate to. */
export interface DriverChanges {
  readonly runnerContext: RunnerContext
  readonly startUp: StartUp
  readonly lending: Lending
}

/** Makes the driver create fenced query runners and lend fenced connections. Returns the undos. */
export function changeDriver(driver: HostDriver, { runnerContext, startUp, lending }: DriverChanges): Undo[] {
  const Runner = fencedQueryRunnerClass(driver.createQueryRunner("master"), runnerContext)
  Object.defineProperty(driver, installedKey, { value: true, configurable: true })
  return [
    () => delete (driver as { [installedKey]?: true })[installedKey],
    replaceMethod(driver, "createQueryRunner", () => (mode) => {
      if (startUp.isUnderWay) startUp.begin()
      return new Runner(driver as never, mode)
    }),
    replaceMethod(
      driver,
      "obtainMasterConnection",
      (obtain) => () => lending.obtain(() => obtain.call(driver), "primary"),
    ),
    replaceMethod(
      driver,
      "obtainSlaveConnection",
      (obtain) => () =>
        lending.obtain(() => obtain.call(driver), driver.slaves.length > 0 ? "replica" : "primary"),
    ),
    replaceMethod(driver, "connect", (connect) => () => startUp.connect(() => connect.call(driver))),
    replaceMethod(driver, "afterConnect", (look) => () => startUp.afterConnect(() => look.call(driver))),
    replaceMethod(
      driver,
      "disconnect",
      (disconnect) => () => startUp.disconnect(() => disconnect.call(driver)),
    ),
  ]
}
