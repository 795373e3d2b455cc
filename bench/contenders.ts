import { DataSource } from "typeorm"
import { installMaintenance, type Maintenance, type Mode } from "../src"
import { withClient } from "../test/support/database"
import { bystanders, NaiveSubscriber, Product } from "./entities"

/** Initial number of rows in the table of products. */
export const productCount = 1000

/** One way to run TypeORM, on its own database. */
export interface Contender {
  readonly dataSource: DataSource
  readonly maintenance: Maintenance | undefined
  /** Runs work as a user who may do it: the maintainer, if there is a window. */
  run<T>(work: () => T): T
  close(): Promise<void>
}

/** Parameters for opening a contender. */
export interface Setup {
  /** The URL of the server. */
  readonly url: string
  /** The URL that the contender connects to, possibly through a proxy. */
  readonly via: string
  readonly connections: number
  /** Number of entities. Default: 1. */
  readonly entities?: number
}

interface Recipe {
  /** The mode, with the plugin. Undefined: without the plugin. */
  readonly mode?: Mode
  readonly preparedStatements?: boolean
  readonly subscribers?: (typeof NaiveSubscriber)[]
  readonly sql?: string
}

/** Statement triggers on every table, as in systems that freeze tables from inside the database. */
const triggers = `
  create function refuse_in_maintenance() returns trigger language plpgsql as $$
  begin
    if (select mode from naive_mode) <> 'normal' then raise exception 'read-only'; end if;
    return null;
  end $$;
  create trigger refuse_in_maintenance before insert or update or delete or truncate on product
    for each statement execute function refuse_in_maintenance();
`

const recipes = {
  plain: {},
  normal: { mode: "normal" },
  concurrent: { mode: "concurrent" },
  exclusive: { mode: "exclusive" },
  "naive subscriber": { subscribers: [NaiveSubscriber] },
  "statement triggers": { sql: triggers },
  "not prepared": { mode: "normal", preparedStatements: false },
} satisfies Record<string, Recipe>

/**
 * The names of the contenders. They are plain TypeORM, the plugin in each mode (as the maintainer),
 * alternatives to the plugin, and the plugin behind a pooler.
 */
export type ContenderName = keyof typeof recipes

async function open(name: ContenderName, { url, via, connections, entities = 1 }: Setup): Promise<Contender> {
  const { mode, preparedStatements = true, subscribers = [], sql = "" }: Recipe = recipes[name]
  const database = `bench_${name.replaceAll(" ", "_")}`
  await withClient(url, async (client) => {
    await client.query(`drop database if exists ${database} with (force)`)
    await client.query(`create database ${database}`)
  })
  const dataSource = new DataSource({
    type: "postgres",
    url: at(via, database),
    entities: [Product, ...bystanders(entities - 1)],
    subscribers,
    synchronize: true,
    poolSize: connections,
  })
  const maintenance = mode && installMaintenance(dataSource, { preparedStatements })
  await dataSource.initialize()
  await withClient(at(url, database), async (client) => {
    await client.query(
      `insert into product (name) select 'product ' || g from generate_series(1, ${productCount}) g;
       create table naive_mode as select 'normal' as mode; ${sql}`,
    )
    await client.query("vacuum analyze product")
  })
  const isWindow = mode !== undefined && mode !== "normal"
  if (isWindow) await maintenance?.enter(mode, { as: "bench" })
  return {
    dataSource,
    maintenance,
    run: (work) => (isWindow && maintenance ? maintenance.runAs("bench", work) : work()),
    async close() {
      await dataSource.destroy()
      await maintenance?.uninstall()
    },
  }
}

/** Runs work with one contender that has the plugin, and closes it. */
export function withPlugin<T>(
  name: Exclude<ContenderName, "plain" | "naive subscriber" | "statement triggers">,
  setup: Setup,
  work: (installed: { dataSource: DataSource; maintenance: Maintenance }) => Promise<T>,
): Promise<T> {
  return withContenders([name], setup, ([contender]) =>
    work(contender as Contender & { maintenance: Maintenance }),
  )
}

/** Runs work with contenders, and closes them. */
export async function withContenders<T>(
  names: readonly ContenderName[],
  setup: Setup,
  work: (contenders: Contender[]) => Promise<T>,
): Promise<T> {
  const contenders: Contender[] = []
  try {
    for (const name of names) contenders.push(await open(name, setup))
    return await work(contenders)
  } finally {
    for (const { close } of contenders) await close()
  }
}

function at(url: string, database: string): string {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.toString()
}
