import type { Mode } from "../index"

/** The values of a form, by the names of its fields. */
export type Values = Readonly<Record<string, string>>

/** The choice that keeps an end of the window as it is. */
export const keep = "keep"
/** The choice of no end. */
export const never = "never"

/** A mode that a window can have. */
export type WindowMode = Exclude<Mode, "normal">

/** The mode that a form has chosen; undefined for normal mode, and for anything else. */
export function windowModeIn({ mode }: Values): WindowMode | undefined {
  return mode === "concurrent" || mode === "exclusive" ? mode : undefined
}
