import { randomUUID } from "node:crypto"
import type { Client } from "pg"
import { inventory, stock } from "../support/inventory"
import { openShop, type Outsider, Estate, restock } from "../support/shop"

/**
 * Makes commits take a moment, as with deferred constraints or synchronous replication, but not in proportion
 * to the number of rows.
 */
const linger = `
  create function linger() returns trigger language plpgsql as
    'begin if new.id < 10 then perform pg_sleep(0.01); end if; return null; end';
  create constraint trigger linger after insert or update on audit deferrable initially deferred
    for each row execute function linger();
`

/** The application name of the writers' connections. */
export const writerName = "writer"

/** The URL of a database with a shop's schema as its search path. */
export function shopUrl(url: string, number: number): string {
  const own = new URL(url)
  own.searchParams.set("options", `-c search_path=shop_${number}`)
  own.searchParams.set("application_name", writerName)
  return own.toString()
}

/** Makes commits take this many seconds longer, so that leaks are found. */
export async function lingerFor(seconds: number, numbers: number[], outsider: Outsider): Promise<void> {
  for (const number of numbers) {
    await outsider.sql(`create or replace function shop_${number}.linger() returns trigger language plpgsql as
      'begin if new.id < 10 then perform pg_sleep(${seconds}); end if; return null; end'`)
  }
}

/** Opens shops, each in its own schema. */
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

/**
 * Reads the contents of each shop as of one moment. Each shop is read in a short transaction, which blocks no
 * drain.
 */
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

/**
 * Reads the stock of a shop. If it was dropped after the snapshot and cannot be read, returns a unique text.
 */
async function stockAt(client: Client, snapshot: string, number: number): Promise<string> {
  for (;;) {
    try {
      return await lookAt(client, snapshot, number)
    } catch (error) {
      // The deadlock involves transactions that are about to be refused, and which can now continue.
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

/** Iterates over a list repeatedly, in a random order determined by the seed. */
export function shuffled<Item>(list: readonly Item[], seed: number): () => Item {
  const random = randomOf(seed)
  let left: Item[] = []
  return () => {
    if (left.length === 0) left = [...list]
    return left.splice(Math.floor(random() * left.length), 1)[0] as Item
  }
}

/** Random numbers from 0 to 1, determined by a seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The lines that occur in only one of two stocks. */
export function difference(one = "", other = ""): string[] {
  const [before, after] = [new Set(one.split("\n")), new Set(other.split("\n"))]
  return [
    ...[...before].filter((thing) => !after.has(thing)).map((thing) => `- ${thing}`),
    ...[...after].filter((thing) => !before.has(thing)).map((thing) => `+ ${thing}`),
  ]
}
