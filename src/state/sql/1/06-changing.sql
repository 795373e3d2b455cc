-- May be run again to recreate missing objects. The parts of every change of a window.

create or replace function {schema}.made(change_name text) returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
  begin atomic
    select exists (select from {schema}.change where name = change_name);
  end;
comment on function {schema}.made is 'Whether a change was already made, or was voided.';

create or replace function {schema}.epoch_of(change_name text) returns integer
  language sql stable
  set search_path = pg_catalog, pg_temp
  begin atomic
    select epoch from {schema}.change where name = change_name;
  end;
comment on function {schema}.epoch_of is 'Returns the epoch that a change has made.';

create or replace function {schema}.note_change(
  change_name text, change_kind text, of_window text default null, new_epoch integer default null,
  acting_user text default null, as_emergency boolean default null
)
  returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    insert into {schema}.change (name, kind, window_id, epoch, made_by, is_emergency, instance, host, pid)
    select coalesce(change_name, gen_random_uuid()::text), change_kind, of_window, new_epoch, acting_user, as_emergency,
      w.id, coalesce(w.host, host(inet_client_addr())), coalesce(w.pid, pg_backend_pid())
    from {schema}.own_instance() as w
    on conflict do nothing;
  end;
comment on function {schema}.note_change is 'Records a change, with its user and origin.';

create or replace function {schema}.note_changes(of_windows text[], change_kind text, acting_user text, as_emergency boolean)
  returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    insert into {schema}.change (kind, window_id, made_by, is_emergency, instance, host, pid)
    select change_kind, changed.id, acting_user, as_emergency,
      w.id, coalesce(w.host, host(inet_client_addr())), coalesce(w.pid, pg_backend_pid())
    from unnest(of_windows) as changed (id), {schema}.own_instance() as w;
  end;
comment on function {schema}.note_changes is
  'Records a change of each of these windows, without names: it is part of a change that has one, or need not have any.';

create or replace function {schema}.project(change_name text default null, is_counted boolean default true, uncounted text default 'windows')
  returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  current {schema}.state;
  last_window text;
  new_epoch integer;
begin
  select * into current from {schema}.state;
  last_window := current.window_id;
  current := {schema}.state_in(current, {schema}.in_force());
  is_counted := is_counted or current.window_id is distinct from last_window;
  update {schema}.state s set
    epoch = s.epoch + is_counted::integer, mode = current.mode, maintainer = current.maintainer, reason = current.reason,
    message = current.message, since = current.since, planned_at = current.planned_at, expires_at = current.expires_at,
    latest = current.latest, lease = current.lease, grace_ms = current.grace_ms, readers = current.readers,
    window_id = current.window_id,
    made_by = case when is_counted then coalesce(change_name, gen_random_uuid()::text) else s.made_by end
  returning s.epoch into new_epoch;
  -- If the same window is in force, the known mode remains valid.
  perform pg_notify({channel}, case when is_counted then new_epoch::text else uncounted end);
  return new_epoch;
end $$;
comment on function {schema}.project is
  'Projects the window in force to the state under the next epoch, or under the same one if it is not counted and the same window is in force; returns the epoch. uncounted is the notification in that case. To be called after lock_state(), in the transaction of each change of windows that are entering or standing.';

create or replace function {schema}.as_expired(ended {schema}.window) returns {schema}.window
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  ended.position := 'over';
  ended.ended_at := ended.expires_at;
  ended.ended_because := case when ended.lease is null or ended.expires_at >= ended.latest then 'expired' else 'lost' end;
  return ended;
end $$;
comment on function {schema}.as_expired is 'Returns a window as it is after its expiry.';

create or replace function {schema}.end_expired(state {schema}.state) returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  -- Forces the index of windows that are not over. Without statistics, as on a new table, PostgreSQL would
  -- scan the whole table.
  set enable_seqscan = off
as $$
begin
  update {schema}.window w set (position, ended_at, ended_because) = (
    select expired.position, expired.ended_at, expired.ended_because from {schema}.as_expired(w) expired
  )
  where position in ('entering', 'standing') and expires_at <= clock_timestamp();
  if state.expires_at <= clock_timestamp() then
    perform {schema}.project();
    select * into state from {schema}.state;
  end if;
  return {schema}.as_of_now(state);
end $$;
comment on function {schema}.end_expired is
  'Ends the windows that have expired and projects the result; returns the state. The counterpart of as_of_now() for holders of the row.';

create or replace function {schema}.lock_state() returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  state {schema}.state;
begin
  perform {schema}.flush_on_commit();
  perform {schema}.wait_briefly();
  perform pg_advisory_xact_lock({hold}::bigint);
  select * into state from {schema}.state for update;
  return {schema}.end_expired(state);
end $$;
comment on function {schema}.lock_state is
  'Locks the state for a change and returns it as of now: no other session can change it until the transaction ends. Ends the windows that have expired. Raises 55P03 if other sessions hold it for long.';

create or replace function {schema}.assert_holds(state {schema}.state, acting_user text, is_emergency boolean) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if acting_user is null or is_emergency is null then
    raise exception using errcode = '22004', message = 'the acting user must be given';
  elsif state.mode = 'normal' then
    perform {schema}.refuse(state, 'normal');
  elsif {schema}.restriction_of(state, acting_user, is_emergency) <> 'none' then
    perform {schema}.refuse(state, 'stranger');
  end if;
end $$;
comment on function {schema}.assert_holds is
  'Raises MM004 if no window is in force, MM003 if it is another user''s.';

create or replace function {schema}.close(
  ids text[], because text, by_user text, as_emergency boolean default null, noted text[] default '{}',
  at timestamptz default clock_timestamp()
)
  returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  closed text[];
begin
  with ended as (
    update {schema}.window set position = 'over', ended_at = at, ended_because = because, ended_by = by_user
    where position <> 'over' and id = any (ids)
    returning id
  )
  select array_agg(id) into closed from ended;
  if not closed <@ noted then
    perform {schema}.note_changes(array(select unnest(closed) except select unnest(noted)), because, by_user, as_emergency);
  end if;
  return closed is not null;
end $$;
comment on function {schema}.close is
  'Ends windows, and records the change of each, except those of which the caller records it (noted); returns whether there was one. The result must be projected.';

create or replace function {schema}.mend() returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  if exists (select from {schema}.state s where s.expires_at <= clock_timestamp()) then
    -- Every commit shares the state until this is done, so merely trying to lock it might never succeed.
    perform {schema}.wait_briefly();
    perform pg_advisory_xact_lock({hold}::bigint);
  elsif not pg_try_advisory_xact_lock({hold}::bigint) then
    -- A switch in progress has already set the stamp and has not committed yet. A later look will find it
    -- committed.
    return;
  end if;
  -- The changes follow from the rows and the clock, and are made again if they are lost.
  perform {schema}.await_no_standby();
  select * into state from {schema}.state for update skip locked;
  if state.expires_at <= clock_timestamp() then
    perform {schema}.end_expired(state);
    return;
  end if;
  update {schema}.state s set epoch = s.epoch
  where s.epoch = state.epoch and stamp is distinct from pg_sequence_last_value('{schema}.stamp');
  if found then
    perform pg_notify({channel}, 'stamp');
  end if;
end $$;
comment on function {schema}.mend is
  'Ends a window that has expired; gives the state a new stamp if its own was lost. Does nothing while other sessions hold the state. Raises 55P03 if they hold it for long and the window has expired.';
