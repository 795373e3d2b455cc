-- May be run again to recreate missing objects. Tells whether the schema is still as it was installed.

create or replace function {schema}.fingerprint() returns jsonb
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  -- Both change how PostgreSQL prints definitions.
  set intervalstyle = 'postgres'
  set quote_all_identifiers = off
  begin atomic
    select jsonb_object_agg(object, md5(definition)) from (
      select format('function %s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), pg_get_functiondef(p.oid) from pg_proc p
      where p.pronamespace = '{schema}'::regnamespace and p.prokind = 'f'
      union all
      select format('column %s.%s', c.relname, a.attname),
        format('%s %s %s', format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)) from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
      where c.relnamespace = '{schema}'::regnamespace and c.relkind in ('r', 'v')
      union all
      select format('view %s', c.relname), pg_get_viewdef(c.oid) from pg_class c
      where c.relnamespace = '{schema}'::regnamespace and c.relkind = 'v'
      union all
      select format('trigger %s', t.tgname), pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text from pg_trigger t
      join pg_class c on c.oid = t.tgrelid
      where c.relnamespace = '{schema}'::regnamespace and not t.tgisinternal
      union all
      select format('rule %s on %s', r.rulename, c.relname), pg_get_ruledef(r.oid) from pg_rewrite r join pg_class c on c.oid = r.ev_class
      where c.relnamespace = '{schema}'::regnamespace and c.relkind = 'r'
      union all
      select format('row security of %s', c.relname), format('%s %s', c.relrowsecurity, c.relforcerowsecurity) from pg_class c
      where c.relnamespace = '{schema}'::regnamespace and c.relkind = 'r'
      union all
      select format('index %s', i.relname), pg_get_indexdef(i.oid) from pg_class i
      where i.relnamespace = '{schema}'::regnamespace and i.relkind = 'i'
      union all
      select format('constraint %s of %s', k.conname, c.relname), pg_get_constraintdef(k.oid) from pg_constraint k
      join pg_class c on c.oid = k.conrelid
      where k.connamespace = '{schema}'::regnamespace
    ) as objects (object, definition);
  end;
comment on function {schema}.fingerprint is
  'Returns a digest of each function, column, view, trigger, rule, index and constraint of this schema. What differs from schema_version.fingerprint was changed since the installation.';
