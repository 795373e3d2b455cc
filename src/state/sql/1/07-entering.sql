-- May be run again to recreate missing objects. Entering a mode, which includes waiting for in-flight
-- transactions.

create or replace function {schema}.check_duration(ms double precision) returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if ms not between 1000 and 1e12 then
    raise exception using errcode = '22023', message = format('a window must last from 1000 ms to about 30 years, not %s ms', ms);
  end if;
end $$;
comment on function {schema}.check_duration is
  'Raises 22023 for a duration that makes no sense for a window.';

create or replace function {schema}.end_in(latest timestamptz, grace_ms double precision) returns timestamptz
  language sql
  set search_path = pg_catalog, pg_temp
  return least(latest, clock_timestamp() + grace_ms * interval '1 millisecond');
comment on function {schema}.end_in is
  'Returns the time at which a window ends by itself if its process sends no further sign of life.';

create or replace function {schema}.facts_of(found {schema}.window) returns jsonb
  language sql stable
  set search_path = pg_catalog, pg_temp
  return jsonb_build_object('task_instance', (found).instance, 'task_host', (found).host, 'task_pid', (found).pid,
    'task_since', {schema}.unix_ms((found).begun_at), 'task_is_gone', {schema}.is_gone(found));
comment on function {schema}.facts_of is
  'Returns the process and start of a task, and whether the process is gone, for callers that are refused because of it.';

create or replace function {schema}.without_gone(state {schema}.state, acting_user text, is_new_task boolean, within_task text)
  returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  found_window {schema}.window;
  has_ended boolean := false;
begin
  -- A task that resumes after all finds its window over. Other sessions see none of the intermediate states.
  loop
    found_window := {schema}.in_force();
    exit when found_window.task is null or found_window.task = within_task or found_window.maintainer <> acting_user
      or not (found_window.is_given_up or not is_new_task and {schema}.is_gone(found_window));
    perform {schema}.close(array[found_window.id], 'lost', acting_user);
    perform {schema}.note_change('end of ' || found_window.task, 'taken over', found_window.id, null, acting_user);
    has_ended := true;
  end loop;
  return case when has_ended then {schema}.state_in(state, found_window) else state end;
end $$;
comment on function {schema}.without_gone is
  'Ends the windows of this user''s tasks that were given up or, if no task begins, whose process is gone. Returns the state without them, to be projected.';

create or replace function {schema}.assert_one_task(acting_user text, within_task text) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  last {schema}.window := {schema}.in_force();
begin
  -- If two tasks of one user ran side by side, the first to end would end the other's window.
  if last.maintainer = acting_user and last.task is distinct from within_task and last.task is not null then
    perform {schema}.refuse({schema}.state_in(s, last), 'busy', {schema}.facts_of(last)) from {schema}.state s;
  end if;
end $$;
comment on function {schema}.assert_one_task is
  'Raises MM005 if the window in force belongs to a task of this user, except the one within which another is to begin.';

create or replace function {schema}.interrupt(entered_id text) returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    update {schema}.window set is_awaited = false where id = entered_id and position = 'entering';
  end;
comment on function {schema}.interrupt is
  'Records that no process waits for the drain of a window any longer.';

create or replace function {schema}.start_entering(request jsonb) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  asked record;
  state {schema}.state;
  below {schema}.window;
  entered {schema}.window;
  -- The window as it was announced; null if it was not.
  announced {schema}.window;
  is_new_task boolean;
  is_own boolean;
  has_terms boolean;
begin
  select * into asked from jsonb_to_record(request) as r (
    id text, mode text, acting_user text, is_emergency boolean, reason text, message text, task text, within_task text,
    expires_in_ms double precision, planned_in_ms double precision, unties boolean, lease text, grace_ms double precision,
    readers integer, instance integer, within_ms double precision, is_announced boolean
  );
  is_new_task := asked.task is distinct from asked.within_task;
  has_terms := asked.expires_in_ms is not null or asked.lease is not null or coalesce(asked.unties, false);
  if asked.mode is null or asked.mode not in ('concurrent', 'exclusive') then
    raise exception using errcode = '22023', message = format('unknown mode %L', asked.mode);
  elsif asked.acting_user is null or asked.is_emergency is null then
    raise exception using errcode = '22004', message = 'the acting user must be given';
  end if;
  perform {schema}.check_duration(asked.expires_in_ms);
  state := {schema}.lock_state();
  if {schema}.made(asked.id) then
    return {schema}.epoch_of(asked.id);
  elsif is_new_task and {schema}.made('end of ' || asked.task) then
    perform {schema}.refuse(state, 'lost');
  elsif asked.is_announced then
    delete from {schema}.window w
    where w.id = asked.id and w.position = 'announced' and (w.expires_at is null or w.expires_at > clock_timestamp())
    returning * into announced;
    if not found then
      perform {schema}.refuse(state, 'lost');
    end if;
  end if;

  state := {schema}.without_gone(state, asked.acting_user, is_new_task, asked.within_task);
  if {schema}.restriction_of(state, asked.acting_user, asked.is_emergency) <> 'none' then
    perform {schema}.refuse(state, 'stranger');
  end if;
  below := {schema}.in_force();
  if is_new_task then
    perform {schema}.assert_one_task(asked.acting_user, asked.within_task);
  end if;
  if below.position = 'entering' then
    if below.is_awaited and {schema}.is_live(below.instance) then
      -- The call that waits for it will find it over. It is not a window to restore.
      perform {schema}.close(array[below.id], case when below.maintainer = asked.acting_user then 'switched' else 'taken over' end,
        asked.acting_user);
      -- A task that it would have ended goes on, with its window in force again.
      if is_new_task then
        perform {schema}.without_gone(state, asked.acting_user, is_new_task, asked.within_task);
        perform {schema}.assert_one_task(asked.acting_user, asked.within_task);
      end if;
    else
      perform {schema}.interrupt(below.id);
    end if;
  end if;

  if not is_new_task and asked.task is not null then
    select w.* into below from {schema}.window w
    where w.position in ('entering', 'standing') and (w.expires_at is null or w.expires_at > clock_timestamp())
    order by w.task = asked.task desc nulls last, w.place desc limit 1;
  end if;
  is_own := coalesce(below.maintainer = asked.acting_user, false);
  entered.since := case when is_own then below.since else clock_timestamp() end;
  -- An announced window brings all of its own facts.
  if not is_own or asked.is_announced and asked.task is null then
    below := null;
  end if;
  -- The enclosing task may be over by now, or belong to another schema.
  entered.task := case when is_new_task or below.task = asked.task
    or not {schema}.made('end of ' || asked.task) and exists (select from {schema}.window w where w.task = asked.task)
    then asked.task end;

  -- Windows that are over once this one is entered:
  -- - none, for a new task, or within a task that has no window left
  -- - the windows of the enclosing task, and of the tasks within it, if it has one
  -- - all, otherwise
  if not is_new_task then
    select array_agg(w.id) into entered.replaces from {schema}.window w
    where w.position in ('entering', 'standing') and w.place >= coalesce((
      select min(t.place) from {schema}.window t where t.task = asked.task and t.position in ('entering', 'standing')
    ), case when entered.task is null then 0 end);
  end if;

  entered.id := asked.id;
  entered.reason := coalesce(asked.reason, below.reason);
  entered.message := coalesce(asked.message, below.message);
  entered.planned_at := coalesce(announced.planned_at, clock_timestamp() + asked.planned_in_ms * interval '1 millisecond', below.planned_at);
  entered.readers := coalesce(asked.readers, below.readers);
  -- A task that has terms keeps to those. Otherwise, terms that are not given stay as they are.
  entered.lease := case when has_terms and (is_new_task or asked.lease is not null or asked.unties) then asked.lease else below.lease end;
  entered.grace_ms := case when has_terms and (is_new_task or asked.lease is not null or asked.unties) then asked.grace_ms else below.grace_ms end;
  -- A window that begins late ends as announced.
  entered.latest := case
    when announced.expires_at is not null then announced.expires_at
    when asked.expires_in_ms is not null then clock_timestamp() + asked.expires_in_ms * interval '1 millisecond'
    when not (has_terms and is_new_task) then case when below.lease is null then below.expires_at else below.latest end
  end;
  entered.expires_at := case when has_terms then {schema}.end_in(entered.latest, entered.grace_ms) else below.expires_at end;
  if not has_terms then
    entered.latest := below.latest;
  end if;
  entered.terms := case when has_terms or below.id is null then asked.id else below.terms end;

  insert into {schema}.window (id, position, mode, maintainer, reason, message, task, since, begun_at, planned_at, terms, expires_at,
    latest, lease, grace_ms, readers, replaces, instance, host, pid, is_awaited, deadline, starts_at, request)
  select asked.id, 'entering', asked.mode, asked.acting_user, entered.reason, entered.message, entered.task, entered.since,
    clock_timestamp(), entered.planned_at, entered.terms, entered.expires_at, entered.latest, entered.lease, entered.grace_ms,
    entered.readers, coalesce(entered.replaces, '{}'), asked.instance, i.host, i.pid, true,
    clock_timestamp() + asked.within_ms * interval '1 millisecond', announced.starts_at, announced.request
  from (values (1)) as one left join {schema}.instance i on i.id = asked.instance;
  state.epoch := {schema}.project(asked.id);
  perform {schema}.note_change(asked.id, 'entered', asked.id, state.epoch, asked.acting_user, asked.is_emergency);
  return state.epoch;
end $$;
comment on function {schema}.start_entering is
  'Opens a window, switches the mode of one''s own, or takes it over (emergency users), and records that the drain has begun; returns the epoch. The request has id, mode, acting_user and is_emergency. It may have reason, message, task and within_task (the task within which it is called), and is_announced. Its terms may be expires_in_ms, planned_in_ms, unties (the window from its process), lease, grace_ms and readers. For the drain, it may have instance (the one that waits) and within_ms. The caller commits, waits, and calls end_entering() or abandon().';

create or replace function {schema}.stands(entered_epoch integer, change_name text) returns boolean
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select coalesce(s.epoch = entered_epoch and s.made_by = change_name and s.mode <> 'normal' and not coalesce(s.expires_at <= clock_timestamp(), false), false)
    from {schema}.state s;
  end;
comment on function {schema}.stands is
  'Whether the window of this epoch, by this change, exists and was not changed since. After a failover that lost it, the epoch alone would not tell.';

create or replace function {schema}.assert_stands(entered_epoch integer, change_name text) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not {schema}.stands(entered_epoch, change_name) then
    perform {schema}.refuse({schema}.as_of_now(s), 'lost') from {schema}.state s;
  end if;
end $$;
comment on function {schema}.assert_stands is
  'Raises MM006 if the window of this epoch, by this change, is gone or was changed.';

create or replace function {schema}.waited_for(entered_epoch integer, change_name text) returns setof integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.assert_stands(entered_epoch, change_name);
  return query select {schema}.holders(entered_epoch);
end $$;
comment on function {schema}.waited_for is
  'Does the same as holders() while the window of this epoch stands; raises MM006 if it does not.';

create or replace function {schema}.end_replaced(entered {schema}.window, by_user text) returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
begin
  update {schema}.window set
    position = 'over', ended_at = entered.begun_at, ended_by = by_user,
    ended_because = case when maintainer = entered.maintainer then 'switched' else 'taken over' end
  where position <> 'over' and id = any (entered.replaces);
  return found;
end $$;
comment on function {schema}.end_replaced is
  'Ends the windows that another one replaces; returns whether there was one. The result must be projected.';

create or replace function {schema}.settle(entered_id text, by_user text) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  entered {schema}.window;
begin
  update {schema}.window set position = 'standing', entered_at = clock_timestamp() where id = entered_id and position = 'entering'
  returning * into entered;
  if entered.id is not null and {schema}.end_replaced(entered, by_user) then
    perform {schema}.project(null, false);
  end if;
end $$;
comment on function {schema}.settle is
  'Records that a window is entered completely, and ends the windows that it replaces.';

create or replace function {schema}.end_entering(entered_epoch integer, entered_id text) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  state {schema}.state := {schema}.lock_state();
begin
  if exists (select from {schema}.window w where w.id = entered_id and w.position = 'standing') then
    return;
  end if;
  perform {schema}.assert_stands(entered_epoch, entered_id);
  perform {schema}.settle(entered_id, state.maintainer);
end $$;
comment on function {schema}.end_entering is
  'Records that the drain is complete; raises MM006 if the window is gone.';

create or replace function {schema}.interrupt_entering(entered_id text) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select {schema}.interrupt(entered_id);
  end;
comment on function {schema}.interrupt_entering is
  'Records that no process waits for the drain any longer, and that the window stays in force.';

create or replace function {schema}.abandon(entered_epoch integer, entered_id text, acting_user text, is_emergency boolean) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state := {schema}.lock_state();
begin
  if not {schema}.stands(entered_epoch, entered_id)
      or not exists (select from {schema}.window w where w.id = entered_id and w.position = 'entering') then
    perform {schema}.refuse(state, 'lost');
  elsif {schema}.restriction_of(state, acting_user, is_emergency) <> 'none' then
    perform {schema}.refuse(state, 'stranger');
  end if;
  perform {schema}.close(array[entered_id], 'abandoned', acting_user);
  state.epoch := {schema}.project();
  perform {schema}.note_change(null, 'abandoned', entered_id, state.epoch, acting_user, is_emergency);
  return state.epoch;
end $$;
comment on function {schema}.abandon is
  'Ends the window that is being entered: the window below is in force again.';

create or replace function {schema}.is_interrupted(found {schema}.window) returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
  return case (found).position
    when 'entering' then not (found).is_awaited or {schema}.is_gone(found)
      -- Where instances are not known, and on a replica, which has none of their locks.
      or ((found).instance is null or pg_is_in_recovery()) and clock_timestamp() > (found).deadline
    when 'standing' then (found).task is not null and ((found).is_given_up or {schema}.is_gone(found))
    else {schema}.is_gone(found)
  end;
comment on function {schema}.is_interrupted is
  'Whether the process that enters a window no longer waits, permanently or briefly; for a task, whether its process is gone; for an announced window, whether the process that waits for it is gone.';

create or replace function {schema}.enter(new_mode text, acting_user text, is_emergency boolean, new_reason text default null) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  id text := gen_random_uuid();
  new_epoch integer := {schema}.start_entering(jsonb_build_object('id', id, 'mode', new_mode, 'acting_user', acting_user, 'is_emergency', is_emergency,
    'reason', new_reason, 'within_ms', 0));
begin
  perform {schema}.settle(id, acting_user);
  return new_epoch;
end $$;
comment on function {schema}.enter is
  'Enters a mode by hand: the same as start_entering() without a wait. Look at holders() afterwards.';
