import type { Outsider } from "./shop"

/** Terminates the plugin's own sessions in a database. Resolves when they are gone. */
export async function endOwnSessions(outsider: Outsider): Promise<void> {
  await outsider.sql(
    `select pg_terminate_backend(pid, 60000) from pg_stat_activity
     where application_name = 'typeorm-maintenance-mode' and datname = current_database()`,
  )
}
