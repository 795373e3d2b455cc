-- May be run again to recreate missing objects. The journal: the windows that are over, and their refusals.

create table if not exists {schema}.refusal (
  window_id text not null,
  instance text not null,
  minute timestamptz not null,
  entity text not null default '',
  operation text not null default '',
  count bigint not null check (count > 0),
  primary key (window_id, instance, minute, entity, operation)
);
comment on table {schema}.refusal is
  'Number of refusals of an instance in a minute of its clock, by window, entity and operation (empty where the ORM changed nothing). instance is a name that an instance keeps as long as its DataSource exists, even if connections are lost. The window may have no row, if that was lost from outside.';
create index if not exists refusal_minute on {schema}.refusal (minute);

create or replace function {schema}.count_refusals(of_instance text, counts jsonb) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.await_no_standby();
  insert into {schema}.refusal as r (window_id, instance, minute, entity, operation, count)
  select c.window_id, of_instance, to_timestamp(c.minute * 60), coalesce(c.entity, ''), coalesce(c.operation, ''), c.count
  from jsonb_to_recordset(counts) as c (window_id text, minute bigint, entity text, operation text, count bigint)
  on conflict (window_id, instance, minute, entity, operation) do update set count = excluded.count
  -- Reports may arrive out of order.
  where r.count < excluded.count;
end $$;
comment on function {schema}.count_refusals is
  'Records the refusals of an instance: an array of window_id, minute (since 1970), entity, operation, and the count within that minute so far. Recorded twice, they count once.';

create or replace function {schema}.refusals(since timestamptz)
  returns table (minute timestamptz, window_id text, entity text, operation text, count bigint)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select r.minute, r.window_id, nullif(r.entity, ''), nullif(r.operation, ''), sum(r.count)::bigint
    from {schema}.refusal r where r.minute >= refusals.since
    group by r.minute, r.window_id, r.entity, r.operation
    order by r.minute, sum(r.count) desc, r.entity, r.operation;
  end;
comment on function {schema}.refusals is
  'Returns the refusals since a time, by minute, window, entity and operation. Each process reports its own within 10 seconds.';

create or replace function {schema}.read_refusals(since_ms double precision) returns table (refusals text)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'minute_ms', {schema}.unix_ms(r.minute), 'windowId', r.window_id, 'entity', r.entity, 'operation', r.operation, 'count', r.count
    )) order by r.nth)::text
    from (
      select * from {schema}.refusals({schema}.from_unix_ms(since_ms)) with ordinality as r (minute, window_id, entity, operation, count, nth)
      order by nth desc limit 10000
    ) as r;
  end;
comment on function {schema}.read_refusals is
  'Returns the last 10,000 rows of refusals() for processes: as JSON (null if empty), with times in milliseconds since 1970, because the notation of a timestamp depends on the session.';

create or replace function {schema}.note_replaced(lost jsonb) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    with noted as (
      insert into {schema}.window (id, position, mode, maintainer, reason, message, since, begun_at, terms, ended_at, ended_because)
      select l.id, 'over', l.mode, l.maintainer, l.reason, l.message, {schema}.from_unix_ms(l.since_ms), {schema}.from_unix_ms(l.since_ms),
        l.id, clock_timestamp(), 'replaced'
      from jsonb_to_record(lost) as l (id text, mode text, maintainer text, reason text, message text, since_ms double precision)
      on conflict (id) do nothing
      returning id
    )
    select {schema}.note_change(null, 'replaced', n.id) from noted n;
  end;
comment on function {schema}.note_replaced is
  'Records the end of a window that a process has entered and that is unknown here: the database was restored, or a failover lost it. The start of the window is not known, only that of its maintenance.';

create or replace function {schema}.journal(
  ended_since timestamptz default '-infinity', max_count integer default 100, before_id text default null
)
  returns table (
    id text, mode text, maintainer text, reason text, message text, starts_at timestamptz, since timestamptz, begun_at timestamptz,
    entered_at timestamptz, ended_at timestamptz, ended_because text, ended_by text, drain_ms double precision, refusals jsonb
  )
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
  -- The best plan depends on the number of rows requested.
  set plan_cache_mode = force_custom_plan
as $$
declare
  last {schema}.window;
begin
  if before_id is not null then
    select * into last from {schema}.window w where w.id = before_id;
    if not found then
      return;
    end if;
    last.ended_at := coalesce(last.ended_at, last.expires_at, 'infinity');
  end if;
  return query
    select w.id, w.mode, w.maintainer, w.reason, w.message, w.starts_at, w.since, w.begun_at, w.entered_at, w.ended_at, w.ended_because,
      w.ended_by,
      -- A window that was handed over was entered before it began.
      case when w.entered_at >= w.begun_at then (extract(epoch from w.entered_at - w.begun_at) * 1000)::double precision end,
      coalesce((
        select jsonb_agg(
          jsonb_strip_nulls(jsonb_build_object('entity', nullif(r.entity, ''), 'operation', nullif(r.operation, ''), 'count', r.count))
          order by r.count desc, r.entity, r.operation
        )
        from (
          select entity, operation, sum(count) as count from {schema}.refusal where window_id = w.id group by entity, operation
        ) as r
      ), '[]')
    from (
      select ended.* from (
        (select past.* from {schema}.window past
        where past.position = 'over' and past.ended_at >= ended_since
          and (before_id is null or (past.ended_at, past.place) < (last.ended_at, last.place))
        order by past.ended_at desc, past.place desc limit max_count)
        union all
        -- Their expiry may not be recorded in the row yet.
        select expired.* from {schema}.window open, {schema}.as_expired(open) expired
        where open.position in ('entering', 'standing') and open.expires_at <= clock_timestamp() and open.expires_at >= ended_since
          and (before_id is null or (open.expires_at, open.place) < (last.ended_at, last.place))
      ) as ended
      order by ended.ended_at desc, ended.place desc limit max_count
    ) as w
    order by w.ended_at desc, w.place desc;
end $$;
comment on function {schema}.journal is
  'Returns the windows that are over, the last first, or those that precede the window before_id: how and by whom each was ended, the duration of its drain, and its refusals.';

create or replace function {schema}.read_journal(ended_since_ms double precision, max_count integer, before_id text) returns table (windows text)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select jsonb_agg(jsonb_build_object(
      'id', j.id, 'mode', j.mode, 'maintainer', j.maintainer, 'reason', j.reason, 'message', j.message,
      'starts_at_ms', {schema}.unix_ms(j.starts_at), 'since_ms', {schema}.unix_ms(j.since), 'begun_at_ms', {schema}.unix_ms(j.begun_at),
      'entered_at_ms', {schema}.unix_ms(j.entered_at), 'ended_at_ms', {schema}.unix_ms(j.ended_at),
      'ended_because', j.ended_because, 'ended_by', j.ended_by, 'drain_ms', j.drain_ms, 'refusals', j.refusals
    ) order by j.nth)::text
    from {schema}.journal(coalesce({schema}.from_unix_ms(ended_since_ms), '-infinity'), max_count, before_id) with ordinality as
      j (id, mode, maintainer, reason, message, starts_at, since, begun_at, entered_at, ended_at, ended_because, ended_by, drain_ms,
        refusals, nth);
  end;
comment on function {schema}.read_journal is
  'Returns journal() for processes: as JSON (null if empty), with times in milliseconds since 1970, because the notation of a timestamp depends on the session.';

create or replace function {schema}.prune(days integer) returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  oldest timestamptz := clock_timestamp() - days * interval '1 day';
  at_once constant integer := 100;
  found_windows integer;
  found_changes integer;
  found_refusals integer;
begin
  if days not between 1 and 36500 then
    raise exception using errcode = '22023', message = format('the journal must be kept for 1 to 36500 days, not %s', days);
  end if;
  -- Deletions that a failover loses are made again.
  perform {schema}.await_no_standby();
  delete from {schema}.window where id = any (array(
    select w.id from {schema}.window w where w.position = 'over' and w.ended_at < oldest
    order by w.ended_at, w.place limit at_once for update skip locked
  ));
  get diagnostics found_windows = row_count;
  delete from {schema}.change where name = any (array(
    select c.name from {schema}.change c
    where c.at < oldest and not exists (select from {schema}.window w where w.id = c.window_id and w.position <> 'over')
    order by c.at limit at_once for update of c skip locked
  ));
  get diagnostics found_changes = row_count;
  delete from {schema}.refusal where ctid = any (array(
    select r.ctid from {schema}.refusal r where r.minute < oldest order by r.minute limit at_once for update skip locked
  ));
  get diagnostics found_refusals = row_count;
  return greatest(found_windows, found_changes, found_refusals) = at_once;
end $$;
comment on function {schema}.prune is
  'Deletes part of the records older than this number of days: windows that are over, their changes, and refusals. Returns whether there may be more. It waits for no other session, and a switch does not wait for it.';
