-- May be run again to recreate missing objects. Reports on the state, and on the windows that are not over.

create or replace view {schema}.state_now as
  select n.mode, n.maintainer, n.reason, n.message, n.since, n.epoch, n.planned_at, n.window_id, n.grace_ms, n.readers,
    {schema}.latest_end_of(n) as expires_at,
    {schema}.retry_after_ms(n) as retry_after_ms,
    extract(epoch from n.expires_at - clock_timestamp())::double precision * 1000 as ends_in_ms,
    floor(extract(epoch from n.expires_at)::double precision * 1000) as ends_at_ms,
    case
      when s.stamp = pg_sequence_last_value('{schema}.stamp') and not coalesce(s.expires_at <= clock_timestamp(), false)
      then s.stamp::text
    end as stamp
  from {schema}.state s, {schema}.as_of_now(s) n;
comment on view {schema}.state_now is
  'The state as of now, with the times that depend on the clock. The columns are described at status().';

create or replace function {schema}.status()
  returns table (
    mode text, maintainer text, reason text, since timestamptz, epoch integer, expires_at timestamptz,
    retry_after_ms double precision, grace_ms double precision, readers integer, ends_in_ms double precision,
    ends_at_ms double precision, stamp text, message text, planned_at timestamptz, window_id text
  )
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select n.mode, n.maintainer, n.reason, n.since, n.epoch, n.expires_at, n.retry_after_ms, n.grace_ms, n.readers,
      n.ends_in_ms, n.ends_at_ms, n.stamp, n.message, n.planned_at, n.window_id
    from {schema}.state_now n;
  end;
comment on function {schema}.status is
  'Returns the state. expires_at is when the window ends, however long its process lives. grace_ms is how long it outlasts the last sign of life of its process. ends_in_ms is when it ends without a further sign of life; ends_at_ms is the same since 1970. planned_at is when the maintainer expects to be done. stamp is null if transactions see another state, as after a switch that was rolled back, and if the window has expired: call mend() then.';

create or replace function {schema}.windows()
  returns table (
    id text, "position" text, mode text, maintainer text, reason text, message text, starts_at timestamptz, since timestamptz,
    begun_at timestamptz, entered_at timestamptz, planned_at timestamptz, expires_at timestamptz, expires_in_ms double precision,
    grace_ms double precision, readers integer, is_task boolean, is_interrupted boolean, instance integer, host text, pid integer,
    drains_until timestamptz, drains_then text, progress jsonb
  )
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  -- Forces the index of windows that are not over. Without statistics, as on a new table, PostgreSQL would
  -- scan the whole table.
  set enable_seqscan = off
  begin atomic
    select w.id, w.position, w.mode, w.maintainer, w.reason, w.message, w.starts_at, w.since, w.begun_at, w.entered_at, w.planned_at,
      case when w.lease is null then w.expires_at else w.latest end, (w.request ->> 'expires_in_ms')::double precision,
      w.grace_ms, w.readers, w.task is not null, coalesce({schema}.is_interrupted(w), false), w.instance, w.host, w.pid,
      case when w.position = 'entering' and w.deadline > w.begun_at then w.deadline end,
      case when w.position = 'entering' and w.deadline > w.begun_at then w.outcome end, w.progress
    from {schema}.window w
    where w.position <> 'over' and case w.position
      when 'announced' then true
      else w.expires_at is null or w.expires_at > clock_timestamp()
    end
    order by case w.position when 'announced' then w.starts_at end nulls first, w.place;
  end;
comment on function {schema}.windows is
  'Returns the windows that are not over. First come the begun windows, the last of which is in force, then the announced ones. is_interrupted tells that the process that enters the window no longer waits, or that the process of its task is gone. For an announced window, it tells that the process that waits for it is gone: other instances begin it then, unless it is for a task. drains_until is when the drain of a window that is being entered is over; null if it waits only for commits under way. progress is what the maintainer last reported of the work.';

create or replace function {schema}.read_state(with_open boolean)
  returns table (
    mode text, maintainer text, reason text, message text, since_ms bigint, epoch integer, planned_at_ms bigint,
    planned_in_ms double precision, expires_at_ms bigint,
    retry_after_ms double precision, grace_ms double precision, readers integer, ends_in_ms double precision,
    ends_at_ms double precision, stamp text, window_id text, windows text
  )
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
  -- Use the index of the windows that are not over; without statistics, as on a new table, PostgreSQL would scan
  -- all windows. One plan serves every call: with a plan for each, planning would cost more than reading.
  set enable_seqscan = off
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  return query
    select s.mode, s.maintainer, s.reason, s.message, {schema}.unix_ms(s.since), s.epoch, {schema}.unix_ms(s.planned_at),
      extract(epoch from s.planned_at - clock_timestamp())::double precision * 1000, {schema}.unix_ms(s.expires_at),
      s.retry_after_ms, s.grace_ms, s.readers, s.ends_in_ms, s.ends_at_ms, s.stamp, s.window_id,
      case when with_open or exists (select from {schema}.window w where w.position = 'announced') then (
        select jsonb_agg(jsonb_build_object(
          'id', w.id, 'position', w.position, 'mode', w.mode, 'maintainer', w.maintainer, 'reason', w.reason, 'message', w.message,
          'starts_at_ms', {schema}.unix_ms(w.starts_at), 'starts_in_ms', extract(epoch from w.starts_at - clock_timestamp()) * 1000,
          'since_ms', {schema}.unix_ms(w.since), 'begun_at_ms', {schema}.unix_ms(w.begun_at),
          'entered_at_ms', {schema}.unix_ms(w.entered_at), 'planned_at_ms', {schema}.unix_ms(w.planned_at),
          'expires_at_ms', {schema}.unix_ms(w.expires_at), 'expires_in_ms', w.expires_in_ms, 'grace_ms', w.grace_ms,
          'readers', w.readers, 'is_task', w.is_task, 'is_interrupted', w.is_interrupted,
          'drains_until_ms', {schema}.unix_ms(w.drains_until), 'drains_then', w.drains_then, 'progress', w.progress,
          'host', w.host, 'pid', w.pid
        ))::text
        from {schema}.windows() w
      ) end
    from {schema}.state_now s;
end $$;
comment on function {schema}.read_state is
  'Returns what an instance needs to know: status() and, as JSON, windows(). Unless the begun windows are requested as well, windows may be null when none is announced. Times are in milliseconds since 1970, because the notation of a timestamp depends on the session.';

create or replace function {schema}.own_window(call_id text) returns {schema}.window
  language sql stable
  set search_path = pg_catalog, pg_temp
  begin atomic
    select w.* from {schema}.window w
    where w.id = coalesce(
      (
        select t.id from {schema}.window t
        where t.task = (select c.task from {schema}.window c where c.id = call_id) order by t.place desc limit 1
      ),
      call_id
    );
  end;
comment on function {schema}.own_window is
  'Returns the window that a call has opened; for a task, its last window. Null if it never existed or is gone.';

create or replace function {schema}.window_after(ended {schema}.window) returns {schema}.window
  language sql stable
  set search_path = pg_catalog, pg_temp
  begin atomic
    select w.* from {schema}.window w
    where w.begun_at >= (ended).ended_at and w.id <> (ended).id
      -- Two conditions, so that each can use an index.
      and (w.position <> 'over' or w.position = 'over' and w.ended_at >= (ended).ended_at)
    order by w.begun_at, w.place limit 1;
  end;
comment on function {schema}.window_after is
  'Returns the window that was opened next after this one had ended: the one that replaced it, or as which it was handed over.';

create or replace function {schema}.ending_of(call_id text)
  returns table (
    ended_because text, ended_by text, ended_at_ms bigint, next_mode text, next_maintainer text, grace_ms double precision
  )
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  own {schema}.window := {schema}.own_window(call_id);
  following {schema}.window;
begin
  grace_ms := own.grace_ms;
  -- The expiry may not be recorded in the row yet.
  if own.position in ('entering', 'standing') and own.expires_at <= clock_timestamp() then
    own := {schema}.as_expired(own);
  end if;
  if own.id is null then
    ended_because := 'replaced';
  elsif own.position = 'over' then
    following := {schema}.window_after(own);
    ended_because := own.ended_because;
    ended_by := own.ended_by;
    ended_at_ms := {schema}.unix_ms(own.ended_at);
  elsif own.position <> 'announced' then
    following := {schema}.in_force();
    if following.place > own.place then
      ended_because := case when following.maintainer = own.maintainer then 'switched' else 'taken over' end;
      ended_by := following.maintainer;
      ended_at_ms := {schema}.unix_ms(following.begun_at);
    end if;
  end if;
  next_mode := following.mode;
  next_maintainer := following.maintainer;
  return next;
end $$;
comment on function {schema}.ending_of is
  'Returns the end of the window that a call has opened, or of the last window of its task: how, by whom and when it ended, and the next window. ended_because is "replaced" if the window no longer exists, as after a restore, and null if it is in force. A window below another user''s counts as taken over, although it may come into force again.';

-- If the row of the state was lost, it is restored from the windows. Without windows it stays as it is, so
-- that a loss admits nobody.
select {schema}.project() from {schema}.state s, {schema}.in_force() w where w.id is not null and w.id is distinct from s.window_id;
