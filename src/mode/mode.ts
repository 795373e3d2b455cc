/** The positions of the switch, from unrestricted to closed. */
export const modes = ["normal", "concurrent", "exclusive"] as const

/**
 * What others than the maintainer may do: everything (`normal`), read (`concurrent`: what they change is vetoed
 * at commit) or nothing (`exclusive`).
 */
export type Mode = (typeof modes)[number]
