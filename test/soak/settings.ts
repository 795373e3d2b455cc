/** Settings of a soak. */
export interface Settings {
  readonly durationMs: number
  /** The seed of all random decisions, in each process and in the injection of faults. */
  readonly seed: number
  /**
   * Whether `enter()` is broken, so that it does not wait for commits under way. The soak then ends with the
   * first leak.
   */
  readonly isBroken: boolean
  readonly hasFaults: boolean
  /** Whether enough was seen to end early. Default: never. */
  readonly isEnough?: (seen: { readonly windows: number; readonly done: number }) => boolean
}

const longestMinutes = 7 * 24 * 60
const largestSeed = 999_999_999

/** The settings from SOAK_MINUTES, SOAK_SEED and SOAK_BROKEN. Throws for invalid values. */
export function settingsOf(environment: NodeJS.ProcessEnv): Settings {
  const { SOAK_MINUTES: minutes, SOAK_SEED: seed, SOAK_BROKEN: broken } = environment
  return {
    durationMs: minutesOf(minutes) * 60_000,
    seed: seedOf(seed),
    isBroken: isBroken(broken),
    hasFaults: true,
  }
}

function minutesOf(text = "30"): number {
  const minutes = Number(text)
  if (text.trim() !== "" && minutes > 0 && minutes <= longestMinutes) return minutes
  throw new Error(
    `SOAK_MINUTES is a number of minutes, more than 0 and up to ${longestMinutes}; this one is ${JSON.stringify(text)}.`,
  )
}

function seedOf(text: string | undefined): number {
  if (text === undefined) return Math.floor(Math.random() * largestSeed)
  const seed = Number(text)
  if (text.trim() !== "" && Number.isInteger(seed) && seed >= 0 && seed <= largestSeed) return seed
  throw new Error(
    `SOAK_SEED is a whole number from 0 to ${largestSeed}; this one is ${JSON.stringify(text)}.`,
  )
}

function isBroken(text = "0"): boolean {
  if (text === "1" || text === "0") return text === "1"
  throw new Error(`SOAK_BROKEN is 1 or 0; this one is ${JSON.stringify(text)}.`)
}
