/** Thrown when a call is refused. Its message is the SQLSTATE. */
export class Refusal extends Error {
  constructor(readonly code: string) {
    super(code)
  }
}

/** The codes of the refusals. */
export const stranger = "MM003"
export const normal = "MM004"
export const notAnnounced = "MM004"
export const busy = "MM005"
export const lost = "MM006"
export const untimely = "MM007"
export const announcedByOther = "MM008"
