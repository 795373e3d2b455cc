import { withClient } from "./database"

/**
 * The plans of statements that run in succession in one session, and of the statements nested in functions.
 * The transaction is rolled back.
 */
export async function plansOf(url: string, statements: readonly string[]): Promise<string[]> {
  return withClient(url, async (client) => {
    const plans: string[] = []
    client.on("notice", ({ message = "" }) => {
      if (/^duration: .* plan:/.test(message)) plans.push(message)
    })
    await client.query("load 'auto_explain'")
    await client.query("begin")
    await client.query(
      "set local auto_explain.log_min_duration = 0; set local auto_explain.log_nested_statements = on; set local auto_explain.log_analyze = on",
    )
    await client.query("set local client_min_messages = log")
    for (const statement of statements) await client.query(statement)
    await client.query("rollback")
    return plans
  })
}

/** The plans that read a whole table, or discard a thousand rows or more. */
export function scansIn(plans: readonly string[], table: string): string[] {
  const scan = new RegExp(`Seq Scan on "?${table}"?[ \n]|Rows Removed by Filter: \\d{4}`)
  return plans.filter((plan) => scan.test(plan))
}
