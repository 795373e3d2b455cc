-- May be run again to recreate missing objects. Ending windows, and prolonging them.

create or replace function {schema}.leave(acting_user text, is_emergency boolean, change_name text default null) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  state {schema}.state;
begin
  state := {schema}.lock_state();
  if {schema}.made(change_name) then
    return {schema}.epoch_of(change_name);
  end if;
  perform {schema}.assert_holds(state, acting_user, is_emergency);
  perform {schema}.close(array(select w.id from {schema}.window w where w.position in ('entering', 'standing')), 'left', acting_user, is_emergency,
    array[state.window_id]);
  state.epoch := {schema}.project(change_name);
  perform {schema}.note_change(change_name, 'left', state.window_id, state.epoch, acting_user, is_emergency);
  return state.epoch;
end $$;
comment on function {schema}.leave is 'Ends the window in force and those below it; returns the epoch.';

create or replace function {schema}.finish(done_task text) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state := {schema}.lock_state();
  end_of_task text := 'end of ' || done_task;
  last {schema}.window := {schema}.in_force();
  is_own boolean := coalesce(last.task = done_task, false);
  own {schema}.window;
  own_ids text[];
begin
  if {schema}.made(end_of_task) then
    return {schema}.epoch_of(end_of_task);
  end if;
  select * into own from {schema}.window w
  where w.task = done_task and w.position in ('entering', 'standing') order by w.place desc limit 1;
  own_ids := array(select w.id from {schema}.window w
    where w.task = done_task and w.position in ('entering', 'standing'));
  -- Windows of the task below another user's window were taken over by it, and are not restored. The change
  -- recorded here is that the task has ended, for its own user and from its own process.
  perform {schema}.close(own_ids, case when is_own then 'left' when own.maintainer = last.maintainer then 'switched' else 'taken over' end,
    last.maintainer, noted => own_ids, at => case when is_own then clock_timestamp() else last.begun_at end);
  perform {schema}.note_changes(array_remove(own_ids, own.id), 'left', own.maintainer, false);
  state.epoch := null;
  if is_own then
    state.epoch := {schema}.project(end_of_task);
  elsif own.id is not null then
    perform {schema}.project(null, false);
  end if;
  perform {schema}.note_change(end_of_task, 'left', own.id, state.epoch, own.maintainer, false);
  return state.epoch;
end $$;
comment on function {schema}.finish is
  'Ends the windows of a task: the window below is in force again. Returns the epoch; null if the window was ended or taken over before.';

create or replace function {schema}.give_up(of_instance integer) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  ids text[];
begin
  perform {schema}.lock_state();
  with given_up as (
    update {schema}.window w set is_given_up = true
    where w.instance = of_instance and w.task is not null and w.position <> 'over' and not w.is_given_up and {schema}.is_gone(w)
    returning w.id
  )
  select array_agg(id) into ids from given_up;
  perform {schema}.note_changes(ids, 'given up', null, null);
end $$;
comment on function {schema}.give_up is
  'Records that the tasks of a missing instance will not resume. The next task of the same user is then not refused because of them, but ends their windows.';

create or replace function {schema}.extend(
  acting_user text, is_emergency boolean, expires_in_ms double precision, change_name text default null
)
  returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  new_end timestamptz := clock_timestamp() + expires_in_ms * interval '1 millisecond';
begin
  perform {schema}.check_duration(expires_in_ms);
  state := {schema}.lock_state();
  if {schema}.made(change_name) then
    return;
  end if;
  perform {schema}.assert_holds(state, acting_user, is_emergency);
  update {schema}.window set expires_at = new_end, latest = new_end, lease = null, grace_ms = null,
    planned_at = case when planned_at > new_end then new_end else planned_at end
  where position in ('entering', 'standing') and terms = (select w.terms from {schema}.window w where w.id = state.window_id);
  perform {schema}.project(null, false, 'expiry');
  perform {schema}.note_change(change_name, 'extended', state.window_id, state.epoch, acting_user, is_emergency);
end $$;
comment on function {schema}.extend is
  'Sets the end of the window to this many milliseconds from now; with null, it does not end by itself. A planned end after that is moved to it. The window is no longer tied to a process.';

create or replace function {schema}.renew(held_lease text) returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.wait_briefly();
  -- A renewal that waits is not visible, and the window would end although its process lives. If a failover
  -- loses one, the next makes up for it within a third of the grace time.
  perform {schema}.await_no_standby();
  if exists (select from {schema}.state s where s.expires_at <= clock_timestamp()) then
    perform {schema}.mend();
  end if;
  -- Without the lock of a switch, for which other sessions would wait.
  perform from {schema}.state for update;
  update {schema}.window w set expires_at = {schema}.end_in(w.latest, w.grace_ms)
  where w.lease = held_lease and w.position in ('entering', 'standing') and w.expires_at > clock_timestamp()
    and w.expires_at < {schema}.end_in(w.latest, w.grace_ms);
  if found then
    -- Even if another window is in force: no older snapshot may find the windows below it expired.
    update {schema}.state s set expires_at = coalesce((
      select w.expires_at from {schema}.window w
      where w.id = s.window_id and w.lease = held_lease and s.expires_at > clock_timestamp() and w.expires_at > s.expires_at
    ), s.expires_at);
  end if;
  return exists (select from {schema}.window w where w.position in ('entering', 'standing'));
end $$;
comment on function {schema}.renew is
  'Renews the windows that are tied to a process, on behalf of that process; returns false if there is no window.';

create or replace function {schema}.transfer(
  acting_user text, is_emergency boolean, new_maintainer text, change_name text default null
)
  returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  handed {schema}.window;
begin
  state := {schema}.lock_state();
  if {schema}.made(change_name) then
    return {schema}.epoch_of(change_name);
  end if;
  perform {schema}.assert_holds(state, acting_user, is_emergency);
  handed := {schema}.in_force();
  perform {schema}.close(array(select w.id from {schema}.window w where w.position in ('entering', 'standing')), 'handed over', acting_user,
    is_emergency);
  insert into {schema}.window (id, position, mode, maintainer, reason, message, since, begun_at, entered_at, planned_at, terms, expires_at,
    latest, readers)
  select i.id, handed.position, handed.mode, new_maintainer, handed.reason, handed.message, handed.since, clock_timestamp(),
    handed.entered_at, handed.planned_at, i.id, i.expires_at, i.expires_at, handed.readers
  from (select coalesce(change_name, gen_random_uuid()::text) as id,
    case when handed.lease is null then handed.expires_at else handed.latest end as expires_at) as i
  returning id into handed.id;
  state.epoch := {schema}.project(handed.id);
  perform {schema}.note_change(handed.id, 'handed over', handed.id, state.epoch, acting_user, is_emergency);
  return state.epoch;
end $$;
comment on function {schema}.transfer is
  'Hands the window over to another maintainer, even while it is still being entered. The caller commits, then waits until holders() is empty.';

create or replace function {schema}.void(names text[]) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  announced {schema}.window;
begin
  perform {schema}.lock_state();
  -- A watch does this first when it reconnects.
  perform {schema}.await_no_standby();
  perform {schema}.note_change(n, 'void', w.id, null, w.maintainer)
  from unnest(names) as n left join {schema}.window w on w.id = n and w.position = 'announced';
  for announced in select w.* from {schema}.window w where w.id = any (names) and w.position = 'announced' loop
    perform {schema}.close(array[announced.id], 'cancelled', announced.maintainer, noted => array[announced.id]);
    perform pg_notify({channel}, 'announced');
  end loop;
end $$;
comment on function {schema}.void is
  'Voids changes by these names that were not made yet: their callers have given them up, and they may still be on their way. Cancels the windows that they have announced.';
