/** Prints a Markdown table with aligned columns. */
export function printTable(
  title: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const widths = head.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`
  console.log(`\n### ${title}\n`)
  console.log(line(head))
  console.log(line(widths.map((width) => "-".repeat(width))))
  for (const row of rows) console.log(line(row))
}

/** Formats a ratio with the middle half of its rounds. */
export function spread(median: number, low: number, high: number): string {
  return `${median.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`
}

/** Formats a time in microseconds. */
export function microseconds(us: number): string {
  return us < 1000 ? `${us.toFixed(0)} us` : `${(us / 1000).toFixed(1)} ms`
}
