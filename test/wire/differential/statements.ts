/** The statements of the sequences, by subject. Those of a subject are equally likely. */
export const statements = {
  begin: ["begin", "BEGIN WORK", "start transaction", "begin read only", "begin -- a start"],
  end: [
    "commit",
    "COMMIT WORK",
    "end",
    "end transaction",
    "commit and chain",
    "commit and no chain",
    "/* at last */ commit",
    "commit -- done\n",
    "rollback",
    "abort",
    "ROLLBACK TRANSACTION",
    "rollback and chain",
    "abort work and no chain",
    "rollback -- given up\n",
    "rollback /* given /* up */ */",
    "/* a /* nested */ one */ rollback",
  ],
  savepoint: [
    "savepoint a",
    "savepoint b",
    "release a",
    "release savepoint b",
    "rollback to a",
    "rollback to savepoint b",
    'rollback work to "a"',
    "rollback /* only */ to a",
    "rollback to nowhere",
    'savepoint "a;b"',
    'rollback to "a;b"',
    "\v rollback to a",
  ],
  prepared: [
    "prepare p0 as insert into thing values (10, 'by p0')",
    "prepare p1 as select count(*) from thing",
    "prepare x as select 1",
    "execute p0",
    "execute p1",
    "deallocate p0",
    "deallocate all",
  ],
  twoPhase: ["prepare transaction 'GID'", "commit prepared 'GID'", "rollback prepared 'GID'"],
  cursor: [
    "declare c cursor for select id from thing order by id",
    "declare c cursor with hold for select id from thing order by id",
    "fetch 1 from c",
    "fetch all from c",
    "move 1 in c",
    "close c",
    "close all",
  ],
  write: [
    "insert into thing values (1, 'one')",
    "insert into thing values (2, 'two')",
    "insert into thing values (3, 'three') returning id",
    "update thing set note = note || '!'",
    "delete from thing where id = 1",
    "with new as (insert into thing values (4, 'four') returning id) select id from new",
    "insert into part values (1)",
    "insert into thing values (5, '; commit')",
    "create table made (id int)",
    "drop table made",
    "insert into made values (1)",
  ],
  read: [
    "select id, note from thing order by id",
    "(select 1)",
    "values (1), (2)",
    "table part",
    "select $$; commit; $$ as word",
    String.raw`select E'\'; rollback; ' as word`,
    'select 1 as "; end;"',
    "select 'rollback' as word",
    "select '; commit and; rollback to; end' as word",
    "select 'prepare transaction' as word",
    "show transaction_isolation",
    "show transaction_read_only",
    "explain (costs off) select 1",
    "",
    " ",
    "/* nothing */",
  ],
  fail: [
    "select 1 / 0",
    "select 1 / 0",
    "select 1 / 0",
    "insert into thing values (0, 'again')",
    "select * from nowhere",
    "selec 1",
    "rollback to",
    "commit and",
    "do $$ begin raise 'no'; end $$",
    "set constraints all immediate",
  ],
  session: [
    "set work_mem = '1MB'",
    "set local work_mem = '2MB'",
    "reset work_mem",
    "show work_mem",
    "set default_transaction_read_only = on",
    "set default_transaction_read_only = off",
    "set session characteristics as transaction isolation level serializable",
    "listen news",
    "lock table thing in share mode",
    "set constraints all deferred",
  ],
  mode: [
    "set transaction isolation level repeatable read",
    "set transaction read only",
    "set transaction isolation level serializable, read only, deferrable",
  ],
  procedure: [
    "do $$ begin insert into thing values (6, 'by do'); end $$",
    "do $$ begin insert into thing values (7, 'by do'); commit; end $$",
    "do $$ begin insert into thing values (8, 'by do'); rollback; end $$",
    "call write_only(20)",
    "call write_and_commit(21)",
    "vacuum thing",
    "copy thing to stdout",
    "copy thing from stdin",
    "create index concurrently made_index on thing (note)",
    "drop index if exists made_index",
  ],
} as const

/** Statements with parameters. */
export const withValues = [
  { statement: "insert into thing values ($1, 'by value')", values: [30] },
  { statement: "select $1::int as value", values: [1] },
  { statement: "select 1 / $1::int as value", values: [0] },
  { statement: "delete from thing where id = $1", values: [2] },
] as const

/** Creates the tables for the statements. */
export const objects = `
  create table thing (id int primary key, note text);
  create table part (thing_id int references thing deferrable initially deferred);
  create procedure write_only(id int) language plpgsql as
    'begin insert into thing values (id, ''by call''); end';
  create procedure write_and_commit(id int) language plpgsql as
    'begin insert into thing values (id, ''by call''); commit; end'`

/** Undoes the effects of the statements, except open transactions. */
export const restore = `
  delete from part; delete from thing; drop table if exists made; drop index if exists made_index;
  insert into thing values (0, 'zero')`

/** All rows stored, as text. */
export const contents = `
  select (select coalesce(string_agg(thing::text, ' ' order by id), '') from thing) as things,
    (select count(*)::int from part) as parts, to_regclass('made') is not null as is_made`
