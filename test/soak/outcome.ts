import { MaintenanceError } from "../../src"

/** The class of an error, with its code or the beginning of its message, for counting equal outcomes. */
export function outcomeOf(error: unknown): string {
  if (error instanceof MaintenanceError) return error.constructor.name
  const { driverError, code, message } = error as Error & { driverError?: { code?: string }; code?: string }
  const what = driverError?.code ?? code ?? message.slice(0, 80)
  return `${(error as Error).constructor.name} ${what}`
}
