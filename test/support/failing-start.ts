// A separate process whose DataSource fails to initialize. It reports the error's code, and then has nothing
// left to do.
import "reflect-metadata"
import { Column, Entity } from "typeorm"
import { installMaintenance, type MaintenanceOptions } from "../../src"
import { newDataSource } from "./data-source"

@Entity()
class Keyless {
  @Column()
  name!: string
}

/** The causes of the failure. */
export const causes = {
  "currentUser returns a promise": { plugin: { currentUser: async () => "alice" } as object },
  "currentUser returns no number": { plugin: { currentUser: () => Number.NaN } },
  "currentUser throws": {
    plugin: {
      currentUser: () => {
        throw new Error("the session store is down")
      },
    },
  },
  "there is no schema": { plugin: { migrate: false, schema: "missing" } },
  "the schema belongs to something else": { plugin: { schema: "garden" } },
  "an entity has no primary key": { options: { entities: [Keyless] } },
  "the mode forbids synchronize": { options: { synchronize: true } },
} satisfies Record<string, { plugin?: MaintenanceOptions; options?: object }>

async function main(url: string, cause: keyof typeof causes): Promise<void> {
  const { plugin, options }: { plugin?: MaintenanceOptions; options?: object } = causes[cause]
  // A leftover connection would keep the process alive forever, instead of only until it has idled long
  // enough.
  const dataSource = newDataSource(url, { extra: { idleTimeoutMillis: 0 }, ...options })
  installMaintenance(dataSource, plugin)
  const code = await dataSource.initialize().then(
    () => "initialized",
    (error: { code?: string; name: string }) => error.code ?? error.name,
  )
  process.send?.(code)
  process.disconnect?.()
}

if (require.main === module) void main(process.argv[2] as string, process.argv[3] as keyof typeof causes)
