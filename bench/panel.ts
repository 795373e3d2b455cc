import type { Maintenance } from "../src"
import { createPanel, type Panel } from "../src/panel"
import { withClient } from "../test/support/database"
import { withPlugin } from "./contenders"
import { FleetHosts } from "./fleet-hosts"
import { quantile } from "./rounds"
import { microseconds, printTable } from "./table"

const instances = 200
const windows = 10_000
const requests = 300

/** Windows that are over, and an hour of refusals by every instance. */
const past = `
  insert into maintenance.window
    (id, position, mode, maintainer, reason, since, begun_at, terms, ended_at, ended_because, ended_by)
  select 'p' || i, 'over', 'concurrent', 'carol', 'Backfill prices', at - interval '5 minutes', at - interval '5 minutes', 'p' || i, at, 'left', 'carol'
  from generate_series(1, ${windows}) i, lateral (select now() - i * interval '20 minutes' as at) a;
  insert into maintenance.refusal (window_id, instance, minute, entity, operation, count)
  select 'p1', 'instance ' || i, date_trunc('minute', now()) - m * interval '1 minute', entity, operation, 7
  from generate_series(1, ${instances}) i, generate_series(1, 60) m,
    (values ('Product', 'update'), ('Session', 'insert'), ('Order', 'insert')) as changes (entity, operation);
`

/** Requests for a page. `before` is called first, and not measured. */
const pages: Record<string, { readonly path: string; before?(maintenance: Maintenance): Promise<unknown> }> =
  {
    "the page": { path: "/" },
    "after a change of the mode": {
      path: "/",
      async before(maintenance) {
        await maintenance.enter("concurrent", { as: "bench" })
        await maintenance.leave({ as: "bench" })
        await known(maintenance)
      },
    },
    "an older page of the journal": { path: "/?before=p5000" },
  }

/** Measures the pages of the control panel, with many instances, a long journal and an hour of refusals. */
export async function panel(url: string): Promise<void> {
  await withPlugin("normal", { url, via: url, connections: 2 }, async ({ maintenance }) => {
    const own = new URL(url)
    own.pathname = "/bench_normal"
    const hosts = await FleetHosts.start(own.toString(), instances - 1, 4)
    await withClient(own.toString(), (client) => client.query(past))
    const measured = createPanel(maintenance, { authorize: () => ({ user: "bench", role: "maintainer" }) })
    const rows: string[][] = []
    for (const [name, { path, before }] of Object.entries(pages)) {
      const times: number[] = []
      for (let count = 0; count < requests; count++) {
        await before?.(maintenance)
        const beganAt = performance.now()
        await textOf(measured, path)
        times.push((performance.now() - beganAt) * 1000)
      }
      rows.push([
        name,
        ...[0.5, 0.99].map((share) => microseconds(quantile(times, share))),
        `${((await bytesOf(measured, path)) / 1000).toFixed(1)} kB`,
      ])
    }
    await measured.close()
    await hosts.stop()
    printTable(
      `panel: ${requests} requests each, with ${instances} instances, ${windows} windows that are over, and an hour of refusals`,
      ["", "p50", "p99", "size with style sheet and script"],
      rows,
    )
  })
}

async function textOf(measured: Panel, path: string): Promise<string> {
  const response = await measured.fetch(new Request(`http://panel.bench${path}`))
  if (response.status !== 200) throw new Error(`${path} was answered with ${response.status}.`)
  return response.text()
}

/** The size of a page and of its files, in bytes. */
async function bytesOf(measured: Panel, path: string): Promise<number> {
  const page = await textOf(measured, path)
  const files = [...page.matchAll(/(?:href|src)="(\/assets\/[^"]*)"/g)].map(([, file = ""]) => file)
  const texts = await Promise.all(files.map((file) => textOf(measured, file)))
  return Buffer.byteLength([page, ...texts].join(""))
}

/** Resolves when all instances have heard of the last change, and leave the processor alone. */
async function known(maintenance: Maintenance): Promise<void> {
  for (;;) {
    const { instances: all, epoch } = await maintenance.status()
    if (all.every((instance) => instance.epoch >= epoch)) return
  }
}
