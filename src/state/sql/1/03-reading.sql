-- May be run again to recreate missing objects. Reading the state, and refusing.

create or replace function {schema}.unix_ms(at timestamptz) returns bigint
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return floor(extract(epoch from at) * 1000)::bigint;
comment on function {schema}.unix_ms is
  'Converts a time to milliseconds since 1970. The notation of a timestamp depends on the DateStyle and TimeZone of the session.';

create or replace function {schema}.from_unix_ms(ms double precision) returns timestamptz
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return to_timestamp(ms / 1000);
comment on function {schema}.from_unix_ms is 'Converts milliseconds since 1970 to a time.';

create or replace function {schema}.in_force() returns {schema}.window
  language sql stable
  set search_path = pg_catalog, pg_temp
  -- Forces the index of windows that are not over. Without statistics, as on a new table, PostgreSQL would
  -- scan the whole table.
  set enable_seqscan = off
  begin atomic
    -- Not "w.*", which would be fixed to the present columns.
    select w from {schema}.window w
    where w.position in ('entering', 'standing') and (w.expires_at is null or w.expires_at > clock_timestamp())
    order by w.place desc limit 1;
  end;
comment on function {schema}.in_force is 'Returns the window in force; null if there is none.';

create or replace function {schema}.state_in(state {schema}.state, found {schema}.window) returns {schema}.state
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  state.mode := coalesce(found.mode, 'normal');
  state.maintainer := found.maintainer;
  state.reason := found.reason;
  state.message := found.message;
  state.since := found.since;
  state.planned_at := found.planned_at;
  state.expires_at := found.expires_at;
  state.latest := found.latest;
  state.lease := found.lease;
  state.grace_ms := found.grace_ms;
  state.readers := case found.mode when 'concurrent' then found.readers end;
  state.window_id := found.id;
  return state;
end $$;
comment on function {schema}.state_in is
  'Returns the state that this window in force implies; null stands for no window.';

create or replace function {schema}.as_of_now(state {schema}.state) returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if state.mode is null then
    raise exception using errcode = 'MM009', message = 'the maintenance state has no row';
  elsif state.expires_at <= clock_timestamp() then
    return {schema}.state_in(state, {schema}.in_force());
  end if;
  return state;
end $$;
comment on function {schema}.as_of_now is
  'Returns the state at this moment. A window that has expired is ignored even before that is projected, so the window below is in force again. Raises MM009 for a state without a row.';

create or replace function {schema}.restriction_of(state {schema}.state, acting_user text, is_emergency boolean) returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return case
    when (state).mode = 'normal' or is_emergency or acting_user = (state).maintainer then 'none'
    when (state).mode = 'exclusive' then 'all'
    else 'writes'
  end;
comment on function {schema}.restriction_of is
  'What the window denies this user: none, writes or all. The maintainer and emergency users are not restricted.';

create or replace function {schema}.latest_end_of(state {schema}.state) returns timestamptz
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return case when (state).lease is null then (state).expires_at else (state).latest end;
comment on function {schema}.latest_end_of is
  'Returns the time at which the window ends by itself, however long its process lives.';

create or replace function {schema}.retry_after_ms(state {schema}.state) returns double precision
  language sql stable
  set search_path = pg_catalog, pg_temp
  return extract(epoch from coalesce(
    {schema}.latest_end_of(state), case when (state).planned_at > clock_timestamp() then (state).planned_at end
  ) - clock_timestamp())::double precision * 1000;
comment on function {schema}.retry_after_ms is
  'Returns the milliseconds until the window ends by itself, or else until its planned end if that is not past; null if neither is known.';

create or replace function {schema}.refuse(state {schema}.state, cause text, more jsonb default '{}') returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  holder text := format('%s maintenance by %s is in force', state.mode, state.maintainer);
  shape text := 'YYYY-MM-DD HH24:MI:SS "UTC"';
  is_now text := to_char(clock_timestamp() at time zone 'UTC', shape);
begin
  raise exception using
    errcode = case cause when 'stranger' then 'MM003' when 'normal' then 'MM004' when 'not announced' then 'MM004' when 'busy' then 'MM005' when 'lost' then 'MM006'
      when 'past' then 'MM007' when 'far' then 'MM007' when 'overlong' then 'MM007' when 'announced' then 'MM008'
      else case state.mode when 'exclusive' then 'MM002' else 'MM001' end end,
    message = case cause
      when 'stranger' then format('maintenance is held by %s', state.maintainer)
      when 'normal' then 'there is no maintenance: the mode is normal'
      when 'not announced' then 'no window is announced under this id'
      when 'busy' then format('a task of %s is running', state.maintainer)
      when 'lost' then 'the window is not in force: it has ended, or a later window is in force'
      when 'past' then format('its start is in the past; it is already %s on the clock of the database', is_now)
      when 'far' then format('its start is more than a year away; it is only %s on the clock of the database', is_now)
      when 'overlong' then format('its work is planned until %s, but without expiresInMs it keeps the end of the window below, %s',
        to_char(state.planned_at at time zone 'UTC', shape), to_char(state.expires_at at time zone 'UTC', shape))
      when 'announced' then format('maintenance by %s is announced for %s', state.maintainer, to_char(state.since at time zone 'UTC', shape))
      else holder end,
    detail = (jsonb_build_object('mode', state.mode, 'maintainer', state.maintainer, 'reason', state.reason, 'message', state.message,
      'since', {schema}.unix_ms(state.since), 'epoch', state.epoch, 'window', state.window_id,
      'expires_at', {schema}.unix_ms({schema}.latest_end_of(state)),
      'retry_after_ms', ceil({schema}.retry_after_ms(state)), 'is_cursor', cause = 'cursor') || more)::text,
    hint = case cause
      when 'stranger' then format('Only %s or an emergency user may change the mode.', state.maintainer)
      when 'normal' then 'Look at status().'
      when 'not announced' then 'Look at windows().'
      when 'busy' then 'Wait for the task, or run this one as another user.'
      when 'lost' then 'Look at journal().'
      when 'past' then 'Choose a later time.'
      when 'far' then 'Choose an earlier time.'
      when 'overlong' then 'Pass a shorter plannedForMs, or pass expiresInMs as well.'
      when 'announced' then format('Only %s or an emergency user may replace or cancel it.', state.maintainer)
      when 'cursor' then
        'COMMIT runs a cursor WITH HOLD after the last check, so what the cursor does cannot be checked. Declare it without HOLD, and read it in a transaction.'
      else 'Try again when the maintenance is over.' end;
end $$;
comment on function {schema}.refuse is
  'Raises a refusal. MM001: a write in concurrent mode. MM002: any access in exclusive mode. MM003: a change of mode by another user. MM004: a change of a window that does not exist. MM005: a second task of the maintainer at once. MM006: a window that is gone. MM007: a start that is past or too far away, or a planned end after the end of the window. MM008: a window that conflicts with an announced one.';

create or replace function {schema}.share_state() returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  shared_state {schema}.state;
begin
  -- Shared locks on a row can follow one another endlessly, and a switch would wait forever. So a switch
  -- takes this lock first, and transactions that share the row queue behind it.
  if current_setting('transaction_isolation') not in ('repeatable read', 'serializable') then
    perform pg_advisory_xact_lock_shared({hold}::bigint);
  elsif not pg_try_advisory_xact_lock_shared({hold}::bigint) then
    -- The switch changes the row, and this snapshot would not show it.
    raise exception using errcode = '40001', message = 'could not serialize access due to a change of the maintenance mode';
  end if;
  select * into shared_state from {schema}.state for share;
  return shared_state;
end $$;
comment on function {schema}.share_state is
  'Returns the state and prevents its change until the transaction ends. No window that is entering or standing changes without this lock. Raises 40001 if the state has changed, or is being changed, since a snapshot older than this statement.';

create or replace function {schema}.current_state() returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  found_state {schema}.state;
begin
  select * into found_state from {schema}.state;
  -- A snapshot older than this statement may show an outdated state. If the stamp differs, the row is locked:
  -- PostgreSQL raises 40001 if the state has changed, and the transaction must be retried. A window that has
  -- expired may be in the middle of an extension.
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable')
      and found_state.stamp is distinct from pg_sequence_last_value('{schema}.stamp')
      or found_state.expires_at <= clock_timestamp() then
    found_state := {schema}.share_state();
  end if;
  return {schema}.as_of_now(found_state);
end $$;
comment on function {schema}.current_state is
  'Returns the state as committed now, whatever the isolation level; raises 40001 if it changed since the snapshot was taken.';
