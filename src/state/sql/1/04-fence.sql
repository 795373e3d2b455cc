-- Can be run again, to put back what was lost. The fence that every transaction passes last, and its like.

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
      -- A cursor WITH HOLD is run to its end by the COMMIT, after this, and READ ONLY does not keep it from all writing.
      and not exists (select from pg_cursors where is_holdable and creation_time >= now()) then
    -- Nothing was changed: only exclusive mode has something against that, and an old snapshot will do.
    perform {schema}.admit_reader(acting_user, is_emergency);
    return;
  end if;
  loop
    -- The gate first, the state after it: a switch waits for whoever holds the gate of an earlier epoch.
    select s.epoch into gate_epoch from {schema}.state s
    where pg_advisory_xact_lock_shared({gate}, s.epoch)::text is not null;
    -- As current_state(), which a call from here would make slower.
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
  'The last statement of every transaction: passes, holding the gate until the transaction ends, or raises the refusal.';

create or replace function {schema}.fence_to_prepare(acting_user text, is_emergency boolean) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.fence(acting_user, is_emergency);
  -- Prepared, it would keep the row of the state shared until somebody ends it, and nobody could change the mode.
  if exists (
    select from pg_locks
    where pid = pg_backend_pid() and locktype = 'advisory' and classid = 0 and objid = {hold} and objsubid = 1
  ) then
    raise exception using errcode = '40001', message = 'could not serialize access due to a change of the maintenance mode';
  end if;
end $$;
comment on function {schema}.fence_to_prepare is
  'As fence(), before PREPARE TRANSACTION; raises 40001, too, if the transaction had to share the state to see it.';

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
  'For statements that end a transaction themselves: keeps a session-level share of the gate, to be unlocked by the caller, also where this fails; null if the user may only read.';

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
comment on function {schema}.admit is 'Raises the refusal of a user who is restricted, whether anything was changed or not.';

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
  'Backends (0: a prepared transaction) whose transaction passed the fence in another epoch and has not ended.';
