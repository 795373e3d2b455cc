-- May be run again to recreate missing objects. Tells whether the schema is still as it was installed.

create or replace function {schema}.fingerprint() returns text
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select md5(string_agg(definition, e'\n' order by definition collate "C")) from (
      select pg_get_functiondef(p.oid) from pg_proc p
      where p.pronamespace = '{schema}'::regnamespace and p.prokind = 'f'
      union all
      select format('%s.%s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod)) from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relnamespace = '{schema}'::regnamespace and c.relkind in ('r', 'v')
      union all
      select pg_get_viewdef(c.oid) from pg_class c where c.relnamespace = '{schema}'::regnamespace and c.relkind = 'v'
      union all
      select pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text from pg_trigger t join pg_class c on c.oid = t.tgrelid
      where c.relnamespace = '{schema}'::regnamespace and not t.tgisinternal
      union all
      select pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indrelid
      where c.relnamespace = '{schema}'::regnamespace
    ) as objects (definition);
  end;
comment on function {schema}.fingerprint is
  'Returns a digest of the functions, columns, views, triggers and indexes of this schema. It differs from schema_version.fingerprint if one of them was changed since the installation.';
