import { plain } from "../plain"

/** A column of a table: its title, and whether its cells are aligned to the right. */
export interface Column {
  readonly title: string
  readonly isRight?: boolean
}

/** Formats rows as a table with aligned columns. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cleaned = rows.map((row) => row.map(plain))
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cleaned.map((row) => (row[index] ?? "").length)),
  )
  const line = (cells: readonly string[]) =>
    columns
      .map(({ isRight }, index) => {
        const cell = cells[index] ?? ""
        const width = widths[index] as number
        return isRight ? cell.padStart(width) : cell.padEnd(width)
      })
      .join("  ")
      .trimEnd()
  return [line(columns.map(({ title }) => title)), ...cleaned.map(line)].join("\n")
}
