import type { MigrationInterface, QueryRunner } from "typeorm"
import { MaintenanceSetupError } from "../errors"
import { checkSchemaName } from "../options"
import {
  installationFault,
  installSchema,
  lookAtSchema,
  schemaVersion,
  type SqlRunner,
  upgradeSql,
} from "../state/schema"

/** A client of ours shows the raw one under this key; the schema cannot pass a fence that it is about to bring. */
export const rawClientKey = Symbol.for("typeorm-maintenance-mode.raw-client")

/**
 * The schema as a TypeORM migration, for installations with `migrate: false`: add the class to the DataSource's
 * `migrations` and run them as a role that may create objects. It runs before the application's own. For another
 * schema than `"maintenance"` use a subclass that sets `schema`.
 */
export class MaintenanceMigration implements MigrationInterface {
  /** TypeORM sorts by the number at the end. */
  readonly name: string = "MaintenanceMigration0000000000001"
  /** The schema to create. */
  protected readonly schema: string = "maintenance"

  /** Creates or upgrades the schema; does nothing if it is there. */
  async up(queryRunner: QueryRunner): Promise<void> {
    const schema = checkSchemaName(this.schema)
    const client = (await queryRunner.connect()) as SqlRunner & { [rawClientKey]?: SqlRunner }
    const runner = client[rawClientKey] ?? client
    if (!queryRunner.isTransactionActive) return installSchema(runner, schema)
    const { version = 0 } = await lookAtSchema(runner, schema)
    if (version >= schemaVersion) return
    await runner.query(upgradeSql(schema, version)).catch((error: unknown) => {
      throw installationFault(error, schema)
    })
  }

  /**
   * Drops the schema. Throws MaintenanceSetupError in a DataSource that has the plugin: without the schema none of its
   * writes would commit any more, this one included.
   */
  async down(queryRunner: QueryRunner): Promise<void> {
    const client = (await queryRunner.connect()) as { [rawClientKey]?: SqlRunner }
    if (client[rawClientKey]) {
      throw new MaintenanceSetupError(
        "The schema is in use by this DataSource: revert MaintenanceMigration with a DataSource that does not have " +
          "the plugin, or after uninstall().",
      )
    }
    await queryRunner.query(`drop schema "${checkSchemaName(this.schema)}" cascade`)
  }
}

/** Whether the migrations of a DataSource may hold MaintenanceMigration: it is named, or there are files to load. */
export function mayInstallSchema(migrations: unknown): boolean {
  return Object.values(migrations ?? []).some(
    (migration) =>
      typeof migration === "string" ||
      migration === MaintenanceMigration ||
      (typeof migration === "function" && migration.prototype instanceof MaintenanceMigration),
  )
}
