-- Can be run again, to put back what was lost. What is told of the state, and of the windows that are not over.

create or replace function {schema}.status()
  returns table (
    mode text, maintainer text, reason text, since timestamptz, epoch integer, expires_at timestamptz,
    retry_after_ms double precision, grace_ms double precision, readers integer, ends_in_ms double precision,
    ends_at_ms double precision, stamp text, message text, planned_at timestamptz, window_id text
  )
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select n.mode, n.maintainer, n.reason, n.since, n.epoch, {schema}.latest_end_of(n), {schema}.retry_after_ms(n), n.grace_ms, n.readers,
      extract(epoch from n.expires_at - clock_timestamp())::double precision * 1000,
      floor(extract(epoch from n.expires_at)::double precision * 1000),
      case
        when s.stamp = pg_sequence_last_value('{schema}.stamp') and not coalesce(s.expires_at <= clock_timestamp(), false)
        then s.stamp::text
      end,
      n.message, n.planned_at, n.window_id
    from {schema}.state s, {schema}.as_of_now(s) n;
  end;
comment on function {schema}.status is
  'The state, for everybody: expires_at is when the window ends whoever lives, grace_ms how long it goes on without the process that it is tied to, ends_in_ms when it does if nothing is heard of that, as ends_at_ms since 1970, planned_at when the maintainer expects to be done; without its stamp if that is not what transactions see, as after a switch that was rolled back, and if it has expired: then mend() is to be called.';

create or replace function {schema}.windows()
  returns table (
    id text, "position" text, mode text, maintainer text, reason text, message text, starts_at timestamptz, since timestamptz,
    begun_at timestamptz, entered_at timestamptz, planned_at timestamptz, expires_at timestamptz, expires_in_ms double precision,
    grace_ms double precision, readers integer, is_task boolean, is_interrupted boolean, instance integer, host text, pid integer
  )
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  -- By the index of those that are not over; without statistics, as on a new table, PostgreSQL would read through all.
  set enable_seqscan = off
  begin atomic
    select w.id, w.position, w.mode, w.maintainer, w.reason, w.message, w.starts_at, w.since, w.begun_at, w.entered_at, w.planned_at,
      case when w.lease is null then w.expires_at else w.latest end, (w.request ->> 'expires_in_ms')::double precision,
      w.grace_ms, w.readers, w.task is not null, coalesce({schema}.is_interrupted(w), false), w.instance, w.host, w.pid
    from {schema}.window w
    where w.position <> 'over' and case w.position
      when 'announced' then true
      else w.expires_at is null or w.expires_at > clock_timestamp()
    end
    order by case w.position when 'announced' then w.starts_at end nulls first, w.place;
  end;
comment on function {schema}.windows is
  'The windows that are not over, for everybody: those that lie over one another, of which the last is in force, then those that are announced. is_interrupted says that who enters it is not there to wait any more, that the process of its task is gone, or that which waits for an announced one to begin: others begin it then, unless it is for a task.';

create or replace function {schema}.is_announced() returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
  -- By the index of those that are not over; without statistics, as on a new table, PostgreSQL would read through all.
  set enable_seqscan = off
  begin atomic
    select exists (select from {schema}.window w where w.position = 'announced');
  end;
comment on function {schema}.is_announced is 'Whether a window is announced.';

create or replace function {schema}.read_state(with_open boolean)
  returns table (
    mode text, maintainer text, reason text, message text, since_ms bigint, epoch integer, planned_at_ms bigint,
    planned_in_ms double precision, expires_at_ms bigint,
    retry_after_ms double precision, grace_ms double precision, readers integer, ends_in_ms double precision,
    ends_at_ms double precision, stamp text, window_id text, windows text
  )
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select s.mode, s.maintainer, s.reason, s.message, {schema}.unix_ms(s.since), s.epoch, {schema}.unix_ms(s.planned_at),
      extract(epoch from s.planned_at - clock_timestamp())::double precision * 1000, {schema}.unix_ms(s.expires_at), s.retry_after_ms, s.grace_ms, s.readers, s.ends_in_ms, s.ends_at_ms, s.stamp, s.window_id,
      case when with_open or {schema}.is_announced() then (
        select jsonb_agg(jsonb_build_object(
          'id', w.id, 'position', w.position, 'mode', w.mode, 'maintainer', w.maintainer, 'reason', w.reason, 'message', w.message,
          'starts_at_ms', {schema}.unix_ms(w.starts_at), 'starts_in_ms', extract(epoch from w.starts_at - clock_timestamp()) * 1000,
          'since_ms', {schema}.unix_ms(w.since), 'begun_at_ms', {schema}.unix_ms(w.begun_at),
          'entered_at_ms', {schema}.unix_ms(w.entered_at), 'planned_at_ms', {schema}.unix_ms(w.planned_at),
          'expires_at_ms', {schema}.unix_ms(w.expires_at), 'expires_in_ms', w.expires_in_ms, 'grace_ms', w.grace_ms,
          'readers', w.readers, 'is_task', w.is_task, 'is_interrupted', w.is_interrupted
        ))::text
        from {schema}.windows() w
      ) end
    from {schema}.status() s;
  end;
comment on function {schema}.read_state is
  'All that an instance is to know: status() and, as JSON, windows(), which may be null if none is announced, unless those that are open are asked for, too; times in milliseconds since 1970, for how a timestamp is written depends on the session.';

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
  'The window that a call has opened; if it is that of a task, the last window of that task. Null if it was never there, or is there no more.';

create or replace function {schema}.window_after(ended {schema}.window) returns {schema}.window
  language sql stable
  set search_path = pg_catalog, pg_temp
  begin atomic
    select w.* from {schema}.window w
    where w.begun_at >= (ended).ended_at and w.id <> (ended).id
      -- Two conditions, an index each.
      and (w.position <> 'over' or w.position = 'over' and w.ended_at >= (ended).ended_at)
    order by w.begun_at, w.place limit 1;
  end;
comment on function {schema}.window_after is
  'The window that was opened next when this one had ended: the one that replaced it, or that it was handed over as.';

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
  -- Perhaps nobody has put that into the row yet.
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
  'How the window ended that a call has opened, or the last one of its task, by whom and when, and the window that came next; "replaced" if it is there no more, as after a restore, and null if it is in force. What lies under another window was taken over by that, though it may come back.';

-- A state whose row was lost comes back as its windows say. Without windows it stays as it is: nobody is let in for what was lost.
select {schema}.project() from {schema}.state s, {schema}.in_force() w where w.id is not null and w.id is distinct from s.window_id;
