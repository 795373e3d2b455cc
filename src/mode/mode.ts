/** The positions of the switch, from unrestricted to closed. */
export const modes = ["normal", "concurrent", "exclusive"] as const

/**
 * The mode of the system, which decides what other users may do:
 *
 * - `normal`: everything.
 * - `concurrent`: read; their changes are vetoed at commit.
 * - `exclusive`: nothing.
 */
export type Mode = (typeof modes)[number]
