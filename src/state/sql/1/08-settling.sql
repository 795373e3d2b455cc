-- May be run again to recreate missing objects. The end of entering: a window is settled, interrupted or abandoned.

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
declare
  own_ids text[];
  has_switched boolean;
begin
  if entered.replaces = '{}' then
    return false;
  end if;
  own_ids := array(select w.id from {schema}.window w where w.id = any (entered.replaces) and w.maintainer = entered.maintainer);
  has_switched := {schema}.close(own_ids, 'switched', by_user, at => entered.begun_at);
  return {schema}.close(entered.replaces, 'taken over', by_user, at => entered.begun_at) or has_switched;
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
  if entered.id is null then
    return;
  end if;
  perform {schema}.note_change(null, 'standing', entered.id, null, by_user);
  if {schema}.end_replaced(entered, by_user) then
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
  perform {schema}.close(array[entered_id], 'abandoned', acting_user, noted => array[entered_id]);
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
