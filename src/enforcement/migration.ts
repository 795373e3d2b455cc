import type { MigrationInterface, QueryRunner } from "typeorm"
import { MaintenanceSetupError } from "../errors"
import { checkSchemaName, defaultSchema } from "../options"
import {
  installationFault,
  installSchema,
  lookAtSchema,
  schemaVersion,
  type SqlRunner,
  upgradeSql,
} from "../state/schema"

/**
 * Key under which a fenced client exposes the raw one. The migration that creates the fence cannot pass it.
 */
export const rawClientKey = Symbol.for("typeorm-maintenance-mode.raw-client")

/**
 * The schema as a TypeORM migration, for installations with `migrate: false`. Add the class to the
 * DataSource's `migrations`, and run them as a role that may create objects. It runs before the application's
 * own. For a schema other than `"maintenance"`, use a subclass that sets `schema`.
 */
export class MaintenanceMigration implements MigrationInterface {
  /** TypeORM sorts by the number at the end. */
  readonly name: string = "MaintenanceMigration0000000000001"
  /** The schema to create. */
  protected readonly schema: string = defaultSchema

  /** Creates or upgrades the schema. Does nothing if it is up to date. */
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
   * Drops the schema. Throws MaintenanceSetupError in a DataSource that has the plugin: without the schema
   * none of its writes would commit, including this one.
   */
  async down(queryRunner: QueryRunner): Promise<void> {
    const client = (await queryRunner.connect()) as { [rawClientKey]?: SqlRunner }
    if (client[rawClientKey]) {
      throw new MaintenanceSetupError(
        "The schema was not dropped, because this DataSource uses it. Revert MaintenanceMigration with a DataSource " +
          "without the plugin, or after uninstall().",
      )
    }
    await queryRunner.query(`drop schema "${checkSchemaName(this.schema)}" cascade`)
  }
}

/**
 * Whether the migrations of a DataSource may contain MaintenanceMigration: it is listed, or there are files
 * to load.
 */
export function mayInstallSchema(migrations: unknown): boolean {
  return Object.values(migrations ?? []).some(
    (migration) =>
      typeof migration === "string" ||
      migration === MaintenanceMigration ||
      (typeof migration === "function" && migration.prototype instanceof MaintenanceMigration),
  )
}
