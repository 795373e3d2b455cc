import type { TestDatabase } from "../support/database"

/**
 * Makes `enter()` resolve without waiting for the gate's holders, which makes the gate useless. Returns the
 * undo.
 */
export async function withoutWaiting(database: Pick<TestDatabase, "sql">): Promise<() => Promise<unknown>> {
  const [{ definition } = { definition: "" }] = await database.sql<{ definition: string }>(
    "select pg_get_functiondef('maintenance.holders'::regproc) as definition",
  )
  await database.sql(
    "create or replace function maintenance.holders(current_epoch integer) returns setof integer " +
      "language sql as 'select 0 where false'",
  )
  return () => database.sql(definition)
}

/** Makes the fence pass everything. Returns the undo. */
export async function withoutFence(database: TestDatabase): Promise<() => Promise<unknown>> {
  const [{ definition } = { definition: "" }] = await database.sql<{ definition: string }>(
    "select pg_get_functiondef('maintenance.fence'::regproc) as definition",
  )
  await database.sql(
    "create or replace function maintenance.fence(acting_user text, is_emergency boolean) returns void " +
      "language plpgsql security definer set search_path = pg_catalog, pg_temp as 'begin end'",
  )
  return () => database.sql(definition)
}
