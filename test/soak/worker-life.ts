import { setTimeout as pause } from "node:timers/promises"
import type { DataSource } from "typeorm"
import { bounded, Hang } from "./bound"
import { tell } from "./messages"

const aliveEveryMs = 1000
const againAfterMs = 200

/** Reports regularly that this process lives, and ends it with its parent. */
export function keepAlive(): void {
  setInterval(() => tell({ rss: process.memoryUsage().rss }), aliveEveryMs).unref()
  process.once("disconnect", () => process.exit())
  process.on("unhandledRejection", (reason) => {
    const facts = String((reason as Error).stack ?? reason)
    tell({ failed: { kind: "inconsistency", what: "a rejection that nobody handles", facts } })
  })
}

/** Resolves when the DataSource is open. Retries, because the server may be down for a while. */
export async function opened(dataSource: DataSource): Promise<void> {
  while (!dataSource.isInitialized) {
    try {
      await bounded("initialize()", dataSource.initialize())
    } catch (error) {
      if (error instanceof Hang) tell({ failed: { kind: "hang", what: error.message, facts: "" } })
      await pause(againAfterMs)
    }
  }
}
