import type { DataSource } from "typeorm"
import { Item } from "./entities"
import { withPlainDataSource } from "./data-source"
import type { TestDatabase } from "./database"

/** Functions and views through which data can be changed, and the seed that every door finds. */
const objects = `
  create table audit (id serial primary key, note text);
  create function write_audit(note text) returns text language plpgsql as
    'begin insert into audit (note) values (note); return note; end';
  create procedure write_and_commit(note text) language plpgsql as
    'begin insert into audit (note) values (note); commit; end';
  create function audit_item() returns trigger language plpgsql as
    'begin insert into audit (note) values (new.name); return null; end';
  create trigger audit_item after insert on item for each row execute function audit_item();
`

/** Undoes what doors do to the schema, and everything that they do to the rows. */
const seed = `
  drop table if exists extra;
  drop index if exists extra_index;
  alter table item drop column if exists extra;
  create or replace view stocked as select id, name, stock from item where stock >= 0;
  delete from item_tags_tag; delete from review; delete from item; delete from tag;
  delete from category_closure; delete from category; delete from audit;
  select setval('item_id_seq', 1, false), setval('tag_id_seq', 1, false), setval('review_id_seq', 1, false),
    setval('category_id_seq', 1, false), setval('audit_id_seq', 1, false);
  insert into item (name, stock, "deletedAt") values ('anvil', 5, null), ('broom', 7, '1970-01-01');
  insert into tag (label) values ('heavy'), ('light');
  insert into item_tags_tag values (1, 1);
  insert into review (text, "itemId") values ('it is', 1);
  insert into category (name, "parentId") values ('tools', null), ('hammers', 1);
  insert into category_closure values (1, 1), (1, 2), (2, 2);
`

/** Makes the tables of the shop in a database, and fills them. */
export async function openShop(database: TestDatabase): Promise<void> {
  await withPlainDataSource(database.url, { synchronize: true }, () => database.sql(objects))
  await restock(database)
}

/** Puts the shop back to how every test finds it: item 1 "anvil" with a tag and a review, item 2 "broom" deleted. */
export async function restock(database: TestDatabase): Promise<void> {
  await database.sql(seed)
}

/** All rows of all tables, to compare: what an outsider sees. */
export async function inventory(database: TestDatabase): Promise<Record<string, unknown>> {
  const tables = await database.sql<{ name: string }>(
    `select quote_ident(relname) as name from pg_class
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'v') order by 1`,
  )
  const rows = await database.sql<{ name: string; row: string }>(
    tables.map(({ name }) => `select '${name}' as name, t::text as row from ${name} t`).join(" union all ") +
      " order by 1, 2",
  )
  const indexes = await database.sql(
    "select pg_get_indexdef(indexrelid), indisvalid from pg_index join pg_class on oid = indrelid " +
      "where relnamespace = 'public'::regnamespace order by 1",
  )
  return { tables, rows, indexes }
}

/** The item that every shop has. */
export function anvil(dataSource: DataSource): Promise<Item> {
  return dataSource
    .getRepository(Item)
    .findOneOrFail({ where: { name: "anvil" }, relations: { tags: true, reviews: true } })
}
