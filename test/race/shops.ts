import { randomUUID } from "node:crypto"
import type { Client } from "pg"
import { inventory, stock } from "../support/inventory"
import { openShop, type Outsider, Estate, restock } from "../support/shop"

/** Commits take a moment, as they do with deferred constraints or synchronous replication; those of many rows no longer. */
const linger = `
  create function linger() returns trigger language plpgsql as
    'begin if new.id < 10 then perform pg_sleep(0.01); end if; return null; end';
  create constraint trigger linger after insert or update on audit deferrable initially deferred
    for each row execute function linger();
`

/** What the connections of writers are named. */
export const writerName = "writer"

/** The URL of a database with the schema of a shop for its search path. */
export function shopUrl(url: string, number: number): string {
  const own = new URL(url)
  own.searchParams.set("options", `-c search_path=shop_${number}`)
  own.searchParams.set("application_name", writerName)
  return own.toString()
}

/** Has commits take this much longer, so that what slips through is seen. */
export async function lingerFor(seconds: number, numbers: number[], outsider: Outsider): Promise<void> {
  for (const number of numbers) {
    await outsider.sql(`create or replace function shop_${number}.linger() returns trigger language plpgsql as
      'begin if new.id < 10 then perform pg_sleep(${seconds}); end if; return null; end'`)
  }
}

/** Opens shops in schemas of their own. */
export async function openShops(url: string, numbers: number[], outsider: Outsider): Promise<void> {
  for (const number of numbers) {
    await outsider.sql(`create schema shop_${number}`)
    const sql: Outsider["sql"] = async (text, values) => {
      await outsider.sql(`set search_path = shop_${number}`)
      return outsider.sql(text, values)
    }
    await openShop({ url: shopUrl(url, number), sql })
    await sql(linger)
    await restock({ sql }, new Estate(number))
  }
  await outsider.sql("reset search_path")
}

/** All that each shop has, as of one moment; each is looked at in a short transaction, which is in nobody's way. */
export async function stockOfAll(
  keeper: Client,
  client: Client,
  numbers: number[],
): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  await keeper.query("begin isolation level repeatable read read only")
  const { rows } = await keeper.query<{ id: string }>("select pg_export_snapshot() as id")
  for (const number of numbers) {
    found.set(number, await stockAt(client, rows[0]?.id as string, number))
  }
  await keeper.query("commit")
  return found
}

/** The stock of a shop; of one that cannot be looked at, for it was dropped since the snapshot was taken, something like nothing else. */
async function stockAt(client: Client, snapshot: string, number: number): Promise<string> {
  for (;;) {
    try {
      return await lookAt(client, snapshot, number)
    } catch (error) {
      // Of the locks of those who are about to be refused: they go on now.
      const isDeadlock = (error as { code?: string }).code === "40P01"
      if (!isDeadlock) return `${String(error)} ${randomUUID()}`
    }
  }
}

async function lookAt(client: Client, snapshot: string, number: number): Promise<string> {
  const outsider: Outsider = { sql: async (text, values) => (await client.query(text, values)).rows as never }
  await client.query("begin isolation level repeatable read read only")
  await client.query(`set transaction snapshot '${snapshot}'`)
  try {
    return stock(await inventory(outsider, `shop_${number}`))
  } finally {
    await client.query("rollback")
  }
}

/** Goes through a list in a random order again and again; the same order for the same seed. */
export function shuffled<Item>(list: readonly Item[], seed: number): () => Item {
  const random = randomOf(seed)
  let left: Item[] = []
  return () => {
    if (left.length === 0) left = [...list]
    return left.splice(Math.floor(random() * left.length), 1)[0] as Item
  }
}

/** Numbers from 0 to 1 that a seed determines (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What is in one of two stocks, and not in the other. */
export function difference(one = "", other = ""): string[] {
  const [before, after] = [new Set(one.split("\n")), new Set(other.split("\n"))]
  return [
    ...[...before].filter((thing) => !after.has(thing)).map((thing) => `- ${thing}`),
    ...[...after].filter((thing) => !before.has(thing)).map((thing) => `+ ${thing}`),
  ]
}
