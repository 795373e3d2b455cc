-- May be run again to recreate missing objects. The fence, which every transaction passes last, and its
-- variants.

create or replace function {schema}.admit_reader(acting_user text, is_emergency boolean) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  select * into state from {schema}.state;
  state := {schema}.as_of_now(state);
  if {schema}.restriction_of(state, acting_user, is_emergency) = 'all' then
    perform {schema}.refuse(state, 'access');
  end if;
end $$;
comment on function {schema}.admit_reader is 'Raises the refusal of a user who may not even read.';

create or replace function {schema}.fence(acting_user text, is_emergency boolean) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  gate_epoch integer;
begin
  if pg_current_xact_id_if_assigned() is null
      -- COMMIT runs a cursor WITH HOLD to its end after this check, and READ ONLY does not prevent all
      -- writing.
      and not exists (select from pg_cursors where is_holdable and creation_time >= now()) then
    -- Nothing was changed: only exclusive mode refuses that, and an old snapshot is sufficient.
    perform {schema}.admit_reader(acting_user, is_emergency);
    return;
  end if;
  loop
    -- The gate first, then the state: a switch waits for every holder of the gate of an earlier epoch.
    select s.epoch into gate_epoch from {schema}.state s
    where pg_advisory_xact_lock_shared({gate}, s.epoch)::text is not null;
    -- The same as current_state(), because a call would be slower.
    select * into state from {schema}.state;
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable')
        and state.stamp is distinct from pg_sequence_last_value('{schema}.stamp')
        or state.expires_at <= clock_timestamp() then
      state := {schema}.as_of_now({schema}.share_state());
    end if;
    exit when state.epoch = gate_epoch;
    perform {schema}.as_of_now(state);
  end loop;
  if {schema}.restriction_of(state, acting_user, is_emergency) <> 'none' then
    perform {schema}.refuse(state, case when pg_current_xact_id_if_assigned() is null then 'cursor' else 'access' end);
  end if;
end $$;
comment on function {schema}.fence is
  'Checks a transaction as its last statement. It passes and holds the gate until the transaction ends, or raises the refusal.';

create or replace function {schema}.fence_to_prepare(acting_user text, is_emergency boolean) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.fence(acting_user, is_emergency);
  -- A prepared transaction would keep the state's row shared until it is ended, and the mode could not be
  -- changed.
  if exists (
    select from pg_locks
    where pid = pg_backend_pid() and locktype = 'advisory' and classid = 0 and objid = {hold} and objsubid = 1
  ) then
    raise exception using errcode = '40001', message = 'could not serialize access due to a change of the maintenance mode';
  end if;
end $$;
comment on function {schema}.fence_to_prepare is
  'Does the same as fence() before PREPARE TRANSACTION. Also raises 40001 if the transaction had to share the state to read it.';

create or replace function {schema}.hold(acting_user text, is_emergency boolean) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  held_epoch integer;
  restriction text;
begin
  select epoch into held_epoch from {schema}.state;
  loop
    perform pg_advisory_lock_shared({hold}, coalesce(held_epoch, 0));
    state := {schema}.current_state();
    exit when state.epoch = held_epoch;
    perform pg_advisory_unlock_shared({hold}, coalesce(held_epoch, 0));
    held_epoch := state.epoch;
  end loop;
  restriction := {schema}.restriction_of(state, acting_user, is_emergency);
  if restriction = 'none' then
    return held_epoch;
  end if;
  perform pg_advisory_unlock_shared({hold}, held_epoch);
  if restriction = 'all' then
    perform {schema}.refuse(state, 'access');
  end if;
  return null;
end $$;
comment on function {schema}.hold is
  'Takes a session-level share of the gate, for statements that end a transaction themselves; returns its epoch, or null if the user may only read. The caller must unlock it, even if this call fails.';

create or replace function {schema}.admit(acting_user text, is_emergency boolean) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  select * into state from {schema}.state;
  state := {schema}.as_of_now(state);
  if {schema}.restriction_of(state, acting_user, is_emergency) <> 'none' then
    perform {schema}.refuse(state, 'access');
  end if;
end $$;
comment on function {schema}.admit is
  'Raises the refusal of a restricted user, whether or not anything was changed.';

create or replace function {schema}.holders(current_epoch integer) returns setof integer
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select coalesce(pid, 0) from pg_locks
    where locktype = 'advisory'
      and database = (select oid from pg_database where datname = current_database())
      and classid in ({gate}, {hold}) and objsubid = 2 and objid <> current_epoch::oid and granted;
  end;
comment on function {schema}.holders is
  'Returns the backends (0: a prepared transaction) whose transaction passed the fence in another epoch and has not ended.';
