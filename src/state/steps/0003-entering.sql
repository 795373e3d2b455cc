-- Can be run again, to put back what was lost. How a mode is entered: what was running is waited for.

create table if not exists {schema}.entering (
  only_row boolean primary key default true check (only_row),
  entry text not null,
  epoch integer not null,
  instance integer,
  deadline timestamptz not null,
  previous jsonb not null
);
comment on table {schema}.entering is
  'The window that is being entered, if its epoch is that of the state: by which call, in which instance, until when at most, and the state to go back to. It is left by who did not end it.';

create or replace function {schema}.start_entering(
  new_entry text, new_mode text, acting_user text, is_emergency boolean, new_reason text, new_task text, within_task text,
  expires_in_ms double precision, unties boolean, new_lease text, new_grace_ms double precision, new_readers integer,
  own_instance integer, within_ms double precision
)
  returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  unfinished {schema}.entering;
  found_state jsonb;
  new_epoch integer;
  has_terms boolean := expires_in_ms is not null or new_lease is not null or unties;
begin
  state := {schema}.lock_state();
  if {schema}.made(new_entry) then
    return (select c.epoch from {schema}.change c where c.name = new_entry);
  end if;
  if new_task is distinct from within_task and {schema}.made('end of ' || new_task) then
    perform {schema}.refuse(state, 'lost');
  end if;
  state := {schema}.without_gone(state, acting_user, new_task is distinct from within_task, within_task);
  select * into unfinished from {schema}.entering e where {schema}.stands(e.epoch, e.entry);
  found_state := {schema}.to_put_back(state, acting_user, has_terms);
  if unfinished.instance in (select {schema}.live()) then
    -- That enters nothing any more, as it will find, and is nothing to go back to.
    found_state := {schema}.before_that(unfinished.previous, found_state);
  elsif unfinished.entry is not null then
    found_state := found_state || jsonb_build_object('unfinished', to_jsonb(unfinished));
  end if;
  new_epoch := {schema}.enter(new_mode, acting_user, is_emergency, new_reason, new_task, within_task, expires_in_ms,
    new_lease, new_grace_ms, new_readers, found_state, unties, new_entry);
  perform {schema}.put_entering(row(true, new_entry, new_epoch, own_instance,
    clock_timestamp() + within_ms * interval '1 millisecond', found_state));
  if new_task is distinct from within_task then
    update {schema}.task set instance = own_instance where name = new_task;
    update {schema}.task t set host = i.host, pid = i.pid from {schema}.instance i where i.id = own_instance and t.name = new_task;
    -- Those of windows that are there no more, as after leave().
    delete from {schema}.task t using {schema}.state s where strpos(to_jsonb(s)::text, t.name) = 0;
  end if;
  return new_epoch;
end $$;
comment on function {schema}.start_entering is
  'As enter(), and says that what was running is waited for. The caller commits, waits, and calls end_entering() or abandon().';

create or replace function {schema}.before_that(before jsonb, skipped jsonb) returns jsonb
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return case
    when not coalesce((before ->> 'leaves_terms')::boolean, false) then before
    else before || jsonb_build_object('expires_at', skipped -> 'expires_at', 'latest', skipped -> 'latest',
      'lease', skipped -> 'lease', 'grace_ms', skipped -> 'grace_ms', 'leaves_terms', skipped -> 'leaves_terms')
  end;
comment on function {schema}.before_that is
  'What is to be put back without a window that is skipped: with the end that this had by then, if it was left to it.';

create or replace function {schema}.put_entering(new_row {schema}.entering) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from {schema}.entering;
  insert into {schema}.entering select new_row.*;
end $$;
comment on function {schema}.put_entering is 'Makes this the window that is being entered; after lock_state().';

create or replace function {schema}.end_entering(entered_epoch integer, own_entry text) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.assert_stands(entered_epoch, own_entry);
  delete from {schema}.entering where epoch = entered_epoch and entry = own_entry;
end $$;
comment on function {schema}.end_entering is
  'Says that nothing of what was running is left to wait for; raises MM006 if the window is gone.';

create or replace function {schema}.assert_stands(entered_epoch integer, own_entry text) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not {schema}.stands(entered_epoch, own_entry) then
    perform {schema}.refuse({schema}.as_of_now(s), 'lost') from {schema}.state s;
  end if;
end $$;
comment on function {schema}.assert_stands is 'Raises MM006 if the window of this epoch, by this call, is gone, or was changed.';

create or replace function {schema}.stands(entered_epoch integer, own_entry text) returns boolean
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select coalesce(s.epoch = entered_epoch and s.made_by = own_entry and s.mode <> 'normal' and not coalesce(s.expires_at <= clock_timestamp(), false), false)
    from {schema}.state s;
  end;
comment on function {schema}.stands is
  'Whether the window of this epoch, by this call, is there, and has not been changed since. The epoch alone would not tell after a failover that lost it.';

create or replace function {schema}.interrupt_entering(entered_epoch integer, own_entry text) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    update {schema}.entering set instance = null, deadline = clock_timestamp()
    where epoch = entered_epoch and entry = own_entry;
  end;
comment on function {schema}.interrupt_entering is 'Says that nobody waits any more, and the window stands.';

create or replace function {schema}.put_back(state {schema}.state, before jsonb, change_name text default null) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  return {schema}.put_again({schema}.state_before(state, before), before, change_name);
end $$;
comment on function {schema}.put_back is 'Makes what was there before the state; after lock_state().';

create or replace function {schema}.put_expired(state {schema}.state) returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  before jsonb;
  has_expired boolean := false;
begin
  while state.expires_at <= clock_timestamp() loop
    has_expired := true;
    before := state.previous;
    state := case when before is null then {schema}.without_window(state) else {schema}.state_before(state, before) end;
  end loop;
  if has_expired then
    perform {schema}.put_again(state, before);
    select * into state from {schema}.state;
  end if;
  return state;
end $$;
comment on function {schema}.put_expired is
  'Ends a window that has expired in the row, too, and makes what was before it the state; returns that. As as_of_now(), for who holds the row.';

create or replace function {schema}.put_again(former {schema}.state, before jsonb, change_name text default null) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  unfinished {schema}.entering := jsonb_populate_record(null::{schema}.entering, before -> 'unfinished');
  new_epoch integer := {schema}.put_state(former, change_name);
begin
  delete from {schema}.entering;
  if unfinished.entry is not null then
    -- What was not waited for then was not waited for since.
    unfinished.epoch := new_epoch;
    select s.made_by into unfinished.entry from {schema}.state s;
    unfinished.instance := null;
    unfinished.deadline := clock_timestamp();
    perform {schema}.put_entering(unfinished);
  end if;
  return new_epoch;
end $$;
comment on function {schema}.put_again is
  'Makes a former state the state, which was being entered still, if so it was; after lock_state().';

create or replace function {schema}.abandon(entered_epoch integer, own_entry text, acting_user text, is_emergency boolean) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  before jsonb;
begin
  state := {schema}.lock_state();
  select e.previous into before from {schema}.entering e where e.epoch = entered_epoch and e.entry = own_entry;
  if not {schema}.stands(entered_epoch, own_entry) or before is null then
    perform {schema}.refuse(state, 'lost');
  end if;
  if not {schema}.is_admitted(state, acting_user, is_emergency) then
    perform {schema}.refuse(state, 'stranger');
  end if;
  return {schema}.put_back(state, before);
end $$;
comment on function {schema}.abandon is 'Puts back what there was before the window that is being entered.';

create or replace function {schema}.without_task(before jsonb, gone text) returns jsonb
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when jsonb_typeof(before) is distinct from 'object' then before
    when before ->> 'task' = gone then {schema}.before_that({schema}.without_task(before -> 'previous', gone), before)
    else before || jsonb_build_object('previous', {schema}.without_task(before -> 'previous', gone))
  end
$$;
comment on function {schema}.without_task is
  'What is to be put back, without the window of a task that is over by then: what was before that instead.';

create or replace function {schema}.finish(done_task text) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  end_of_task text := 'end of ' || done_task;
begin
  state := {schema}.lock_state();
  if {schema}.made(end_of_task) then
    return (select c.epoch from {schema}.change c where c.name = end_of_task);
  end if;
  if state.task = done_task then
    delete from {schema}.task where name = done_task;
    return {schema}.put_back(state, state.previous, end_of_task);
  end if;
  perform {schema}.note_change(end_of_task, null);
  delete from {schema}.task where name = done_task;
  -- Who has taken it over will not put it back.
  update {schema}.entering set previous = {schema}.without_task(previous, done_task);
  update {schema}.state s set previous = {schema}.without_task(s.previous, done_task)
  where s.previous is distinct from {schema}.without_task(s.previous, done_task);
  if found then
    perform pg_notify({channel}, 'stamp');
  end if;
  return null;
end $$;
comment on function {schema}.finish is
  'Ends the window of a task: puts back what enter() found, and returns the epoch; null if the window was ended or taken over before.';

create or replace function {schema}.without_gone(
  state {schema}.state, acting_user text, is_new_task boolean, within_task text
)
  returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A task that goes on after all finds that it has ended. Others see none of the states between.
  while state.maintainer = acting_user and state.task is distinct from within_task and state.previous is not null
      and (not exists (select from {schema}.task t where t.name = state.task) or not is_new_task and {schema}.is_gone(state.task)) loop
    perform {schema}.note_change('end of ' || state.task, null);
    delete from {schema}.task t where t.name = state.task;
    perform {schema}.put_back(state, state.previous);
    select * into state from {schema}.state;
  end loop;
  return state;
end $$;
comment on function {schema}.without_gone is
  'Ends the windows of tasks of this user that were given up, or, if no task begins, whose process is gone: what was before them is the state, which is returned; after lock_state().';

create or replace function {schema}.give_up(of_instance integer) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.lock_state();
  delete from {schema}.task where instance = of_instance and {schema}.is_gone(name);
end $$;
comment on function {schema}.give_up is
  'Says that the tasks of an instance that is gone will not come back: the next task of the same user is not refused because of them, but ends their windows.';

create or replace function {schema}.interrupted_task() returns integer
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select s.epoch from {schema}.state s
    where s.task is not null and not coalesce(s.expires_at <= clock_timestamp(), false) and {schema}.is_gone(s.task);
  end;
comment on function {schema}.interrupted_task is 'The epoch of the state, if its window is that of a task whose process is gone.';

create or replace function {schema}.transfer(
  acting_user text, is_emergency boolean, new_maintainer text, change_name text default null
)
  returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  former_epoch integer;
begin
  state := {schema}.lock_state();
  if {schema}.made(change_name) then
    return (select c.epoch from {schema}.change c where c.name = change_name);
  end if;
  if state.mode = 'normal' then
    perform {schema}.refuse(state, 'normal');
  end if;
  if not coalesce({schema}.is_admitted(state, acting_user, is_emergency), false) then
    perform {schema}.refuse(state, 'stranger');
  end if;
  former_epoch := state.epoch;
  state.maintainer := new_maintainer;
  state.task := null;
  state.previous := null;
  state.expires_at := case when state.lease is null then state.expires_at else state.latest end;
  state.lease := null;
  state.grace_ms := null;
  state.epoch := {schema}.put_state(state, change_name);
  update {schema}.entering set epoch = state.epoch, entry = (select s.made_by from {schema}.state s), instance = null,
    deadline = clock_timestamp()
  where epoch = former_epoch;
  return state.epoch;
end $$;
comment on function {schema}.transfer is
  'Hands the window to another maintainer, also one that nobody has waited for yet. The caller commits, then waits for holders() to be empty.';

create or replace function {schema}.entering()
  returns table (epoch integer, is_live boolean)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select e.epoch,
      case
        -- A replica has no locks of theirs.
        when e.instance is null or pg_is_in_recovery() then clock_timestamp() <= e.deadline
        else e.instance in (select {schema}.live())
      end
    from {schema}.entering e
    where {schema}.stands(e.epoch, e.entry);
  end;
comment on function {schema}.entering is
  'The window that is being entered, and whether who enters it is there to wait; if not, the window stands.';

create or replace function {schema}.void(names text[]) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.lock_state();
  -- A watch that is connected again does this first of all.
  perform {schema}.await_no_standby();
  insert into {schema}.change (name) select unnest(names) on conflict do nothing;
  delete from {schema}.announced where entry = any (names);
  if found then
    perform pg_notify({channel}, 'announced');
  end if;
end $$;
comment on function {schema}.void is
  'Has changes by these names not be made any more, if they have not been yet: who asked for them has given them up, and they may still be on their way. Takes back what they have announced.';

create or replace function {schema}.waited_for(entered_epoch integer, own_entry text) returns setof integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.assert_stands(entered_epoch, own_entry);
  return query select {schema}.holders(entered_epoch);
end $$;
comment on function {schema}.waited_for is 'As holders(), as long as the window of this epoch stands; raises MM006 if it does not.';
