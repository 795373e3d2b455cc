import type { DataSource } from "typeorm"
import { Item } from "./entities"
import { newDataSource } from "./data-source"

/** A connection that inspects or changes a database without the plugin. */
export interface Outsider {
  sql<Row extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<Row[]>
}

/** The location of a shop: its own schema in a database. */
export interface Premises extends Outsider {
  readonly url: string
}

/** Functions and views through which data can be changed. They resolve names by the caller's search path. */
const objects = `
  create table audit (id serial primary key, note text);
  create function write_audit(note text) returns text language plpgsql as
    'begin insert into audit (note) values (note); return note; end';
  create procedure write_only(note text) language plpgsql as
    'begin insert into audit (note) values (note); end';
  create procedure write_and_commit(note text) language plpgsql as
    'begin insert into audit (note) values (note); commit; end';
  create function audit_item() returns trigger language plpgsql as
    'begin insert into audit (note) values (new.name); return null; end';
  create trigger audit_item after insert on item for each row execute function audit_item();

  create table promise (id serial primary key, note text);
  create function keep_promise() returns trigger language plpgsql as
    'begin insert into audit (note) values (new.note); return null; end';
  create constraint trigger keep_promise after insert on promise deferrable initially deferred
    for each row execute function keep_promise();
  create view wish as select note from audit;
  create rule wish as on insert to wish do instead insert into audit (note) values (new.note);
  create view labels as select id, label from tag;
  create function write_label() returns trigger language plpgsql as
    'begin insert into tag (label) values (new.label); return new; end';
  create trigger write_label instead of insert on labels for each row execute function write_label();
  create sequence ticket;
  create table parcel (id int, note text) partition by range (id);
  create table parcel_low partition of parcel for values from (0) to (100);
  create materialized view total as select 1 as id, sum(stock) as stock from item;
  create unique index total_id on total (id);
`

/** Reverts the doors' changes to the schema and to the rows. */
const seed = `
  drop table if exists extra cascade;
  drop index if exists extra_index;
  drop function if exists extra();
  drop sequence if exists extra_sequence;
  drop trigger if exists extra on audit;
  drop type if exists colour;
  create type colour as enum ('red');
  comment on table audit is null;
  revoke all on table audit from public;
  alter table item drop column if exists extra;
  alter table tag drop column if exists extra;
  create or replace view stocked as select id, name, stock from item where stock >= 0;
  drop table parcel;
  drop table if exists parcel_low;
  create table parcel (id int, note text) partition by range (id);
  create table parcel_low partition of parcel for values from (0) to (100);
  delete from item_tags_tag; delete from review; delete from item; delete from tag;
  delete from category_closure; delete from category; delete from audit; delete from promise;
  select setval('item_id_seq', 1, false), setval('tag_id_seq', 1, false), setval('review_id_seq', 1, false),
    setval('category_id_seq', 1, false), setval('audit_id_seq', 1, false), setval('promise_id_seq', 1, false),
    setval('ticket', 1, false);
  insert into item (name, stock, "deletedAt") values ('anvil', 5, null), ('broom', 7, '1970-01-01');
  insert into tag (label) values ('heavy'), ('light');
  insert into item_tags_tag values (1, 1);
  insert into review (text, "itemId") values ('it is', 1);
  insert into category (name, "parentId") values ('tools', null), ('hammers', 1);
  insert into category_closure values (1, 1), (1, 2), (2, 2);
  refresh materialized view total;
`

/**
 * A shop's objects outside its schema: databases and prepared transactions by name, large objects by number.
 */
export class Estate {
  readonly number: number

  constructor(number = 1) {
    this.number = number
  }

  /** A name that no other shop on the server uses. `owner` is the database. */
  name(owner: string): string {
    return `${owner}_${this.number}`
  }

  /** The large object of this shop. */
  get largeObject(): number {
    return 4_000_000 + this.number
  }
}

/** Creates and fills the shop's tables in a database, in the first schema of the URL's search path. */
export async function openShop(premises: Premises): Promise<void> {
  const dataSource = newDataSource(premises.url, { synchronize: true })
  await dataSource.initialize()
  try {
    await premises.sql(objects)
  } finally {
    await dataSource.destroy()
  }
  await restock(premises)
}

/**
 * Resets the shop to the state that every test expects: item 1 "anvil" with a tag and a review, item 2
 * "broom" deleted.
 */
export async function restock(outsider: Outsider, { number, largeObject } = new Estate()): Promise<void> {
  const leftovers = await outsider.sql<{ text: string }>(
    `select 'rollback prepared ' || quote_literal(gid) as text from pg_prepared_xacts
     where gid = current_database() || '_' || $1::text
     union all
     select 'drop database ' || quote_ident(datname) from pg_database
     where datname = current_database() || '_' || $1::text
     union all
     select 'select lo_unlink(' || oid || ')' from pg_largeobject_metadata where oid = $2::oid`,
    [number, largeObject],
  )
  for (const { text } of leftovers) await outsider.sql(text)
  await outsider.sql(seed)
}

/** The item that every shop has. */
export function anvil(dataSource: DataSource): Promise<Item> {
  return dataSource
    .getRepository(Item)
    .findOneOrFail({ where: { name: "anvil" }, relations: { tags: true, reviews: true } })
}
