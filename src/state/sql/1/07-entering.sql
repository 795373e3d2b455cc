-- May be run again to recreate missing objects. Entering a mode, up to the beginning of the wait for in-flight
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
    perform {schema}.close(array[found_window.id], 'lost', acting_user, noted => array[found_window.id]);
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

create or replace function {schema}.interrupt(entered_id text, by_user text default null) returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    with interrupted as (
      update {schema}.window set is_awaited = false where id = entered_id and position = 'entering' and is_awaited
      returning id, maintainer
    )
    select {schema}.note_change(null, 'interrupted', i.id, null, coalesce(by_user, i.maintainer)) from interrupted i;
  end;
comment on function {schema}.interrupt is
  'Records that no process waits for the drain of a window any longer: its maintainer gave up, or this user found the process gone.';

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
  ends_at timestamptz;
begin
  select * into asked from jsonb_to_record(request) as r (
    id text, mode text, acting_user text, is_emergency boolean, reason text, message text, task text, within_task text,
    expires_in_ms double precision, planned_in_ms double precision, unties boolean, lease text, grace_ms double precision,
    readers integer, instance integer, within_ms double precision, outcome text, is_announced boolean
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
        asked.acting_user, asked.is_emergency);
      -- A task that it would have ended goes on, with its window in force again.
      if is_new_task then
        perform {schema}.without_gone(state, asked.acting_user, is_new_task, asked.within_task);
        perform {schema}.assert_one_task(asked.acting_user, asked.within_task);
      end if;
    else
      perform {schema}.interrupt(below.id, asked.acting_user);
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
  entered.planned_at := coalesce(announced.planned_at, clock_timestamp() + asked.planned_in_ms * interval '1 millisecond', below.planned_at);
  ends_at := case when entered.lease is null then entered.expires_at else entered.latest end;
  if asked.planned_in_ms is not null and asked.expires_in_ms is null and announced.id is null and entered.planned_at > ends_at then
    state.planned_at := entered.planned_at;
    state.expires_at := ends_at;
    perform {schema}.refuse(state, 'overlong');
  end if;
  -- An inherited plan, or one that was announced, is cut to the end of the window.
  if entered.planned_at > ends_at then
    entered.planned_at := ends_at;
  end if;

  insert into {schema}.window (id, position, mode, maintainer, reason, message, task, since, begun_at, planned_at, terms, expires_at,
    latest, lease, grace_ms, readers, replaces, instance, host, pid, is_awaited, deadline, outcome, starts_at, request)
  select asked.id, 'entering', asked.mode, asked.acting_user, entered.reason, entered.message, entered.task, entered.since,
    clock_timestamp(), entered.planned_at, entered.terms, entered.expires_at, entered.latest, entered.lease, entered.grace_ms,
    entered.readers, coalesce(entered.replaces, '{}'), asked.instance, i.host, i.pid, true,
    clock_timestamp() + asked.within_ms * interval '1 millisecond', asked.outcome, announced.starts_at, announced.request
  from (values (1)) as one left join {schema}.instance i on i.id = asked.instance;
  state.epoch := {schema}.project(asked.id);
  perform {schema}.note_change(asked.id, 'entered', asked.id, state.epoch, asked.acting_user, asked.is_emergency);
  return state.epoch;
end $$;
comment on function {schema}.start_entering is
  'Opens a window, switches the mode of one''s own, or takes it over (emergency users), and records that the drain has begun; returns the epoch. The request has id, mode, acting_user and is_emergency. It may have reason, message, task and within_task (the task within which it is called), and is_announced. Its terms may be expires_in_ms, planned_in_ms, unties (the window from its process), lease, grace_ms and readers. For the drain, it may have instance (the one that waits), within_ms and outcome. The caller commits, waits, and calls end_entering() or abandon().';
