-- Can be run again, to put back what was lost. The state of the maintenance, the fence that every transaction passes last, and the functions that change
-- the state. {schema} is the quoted schema name, {gate} and {hold} are the lock keys made from that name,
-- {channel} is the quoted name of the notification channel.

create table if not exists {schema}.state (
  only_row boolean primary key default true check (only_row),
  epoch integer not null default 1,
  mode text not null default 'normal' check (mode in ('normal', 'concurrent', 'exclusive')),
  maintainer text check (length(maintainer) between 1 and 200),
  reason text check (length(reason) between 1 and 1000),
  since timestamptz,
  task text,
  previous jsonb,
  expires_at timestamptz,
  latest timestamptz,
  lease text,
  grace_ms double precision,
  readers integer check (readers > 0),
  made_by text,
  stamp bigint not null default 0,
  check ((mode = 'normal') = (maintainer is null)),
  check ((mode = 'normal') = (since is null)),
  check (mode <> 'normal' or (task, previous, expires_at, latest, lease, grace_ms) is null),
  check (readers is null or mode <> 'normal'),
  check ((lease is null) = (grace_ms is null)),
  check (expires_at is not null or (lease, latest) is null)
);
comment on table {schema}.state is
  'One row: the mode, and who holds the window. Changed by the functions of this schema only; epoch counts the changes, task names the during() that opened the window, previous is the state to put back after it, expires_at is when the window ends by itself, lease names the process that has that put off by grace_ms as long as it lives, but not beyond latest, readers is how many connections of an instance others may use in concurrent mode, made_by is the name of the change that brought the epoch (after a failover that lost the last changes, others make the same epochs), stamp names this state among all that ever were.';

create table if not exists {schema}.change (
  name text primary key,
  epoch integer,
  at timestamptz not null default clock_timestamp()
);
comment on table {schema}.change is
  'The changes of the last hour, by the names that were given to them, and the epoch that each made (null if it changed nothing any more): who has not heard the answer asks again, and it is not made twice.';
create index if not exists change_at on {schema}.change (at);

create table if not exists {schema}.task (
  name text primary key,
  instance integer,
  host text,
  pid integer,
  since timestamptz not null default clock_timestamp()
);
comment on table {schema}.task is
  'The calls of during() whose windows are there, and the instance that each runs in (null if that is not known), by its process. What is here no more has ended, or was given up.';

-- Owned by the table, so that it does not outlive the state.
create sequence if not exists {schema}.stamp owned by {schema}.state.stamp;
comment on sequence {schema}.stamp is
  'The stamp of the state, for every transaction to see, whatever its snapshot; set before the state is committed.';

create or replace function {schema}.stamp_state() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- Random: a count would come again after a restore, or a failover that lost the last changes.
  new_stamp bigint := floor(random() * 9007199254740991) + 1;
  but_for_expiry {schema}.state;
begin
  if tg_op = 'UPDATE' and new.expires_at > old.expires_at then
    -- A window that is only to stand for longer admits nobody who was not admitted before.
    but_for_expiry := new;
    but_for_expiry.expires_at := old.expires_at;
    if but_for_expiry is not distinct from old then
      return new;
    end if;
  end if;
  perform setval('{schema}.stamp', new_stamp);
  if tg_level = 'ROW' then
    new.stamp := new_stamp;
    return new;
  end if;
  return null;
end $$;
comment on function {schema}.stamp_state is 'Gives every state a stamp of its own; a state that is deleted leaves one that none has.';
create or replace trigger stamp_state before insert or update on {schema}.state
  for each row execute function {schema}.stamp_state();
create or replace trigger stamp_no_state after delete or truncate on {schema}.state
  for each statement execute function {schema}.stamp_state();
alter table {schema}.state enable always trigger stamp_state, enable always trigger stamp_no_state;

insert into {schema}.state (only_row) select true where not exists (select from {schema}.state);
update {schema}.state set epoch = epoch where stamp is distinct from pg_sequence_last_value('{schema}.stamp');

create or replace function {schema}.without_window(state {schema}.state) returns {schema}.state
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  state.mode := 'normal';
  state.maintainer := null;
  state.reason := null;
  state.since := null;
  state.task := null;
  state.previous := null;
  state.expires_at := null;
  state.latest := null;
  state.lease := null;
  state.grace_ms := null;
  state.readers := null;
  return state;
end $$;
comment on function {schema}.without_window is 'The state with its window ended.';

create or replace function {schema}.as_of_now(state {schema}.state) returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  while state.expires_at <= clock_timestamp() loop
    state := case when state.previous is null then {schema}.without_window(state) else {schema}.state_before(state, state.previous) end;
  end loop;
  return state;
end $$;
comment on function {schema}.as_of_now is
  'A window that has expired is none, also while nobody has put that into the row yet: what was before it is there again.';

create or replace function {schema}.unix_ms(at timestamptz) returns bigint
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return floor(extract(epoch from at) * 1000)::bigint;
comment on function {schema}.unix_ms is
  'A time in milliseconds since 1970, as processes are told it: how a timestamp is written depends on the DateStyle and TimeZone of the session.';

create or replace function {schema}.is_admitted(state {schema}.state, acting_user text, is_emergency boolean) returns boolean
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return (state).mode = 'normal' or is_emergency or coalesce(acting_user = (state).maintainer, false);
comment on function {schema}.is_admitted is
  'Whether the window leaves this user unrestricted: there is none, it is the user''s own, or the user is an emergency user.';

create or replace function {schema}.latest_end_of(state {schema}.state) returns timestamptz
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return case when (state).lease is null then (state).expires_at else (state).latest end;
comment on function {schema}.latest_end_of is 'When the window ends by itself, however long a process lives that it is tied to.';

create or replace function {schema}.refuse(state {schema}.state, cause text) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = case cause when 'stranger' then 'MM003' when 'normal' then 'MM004' when 'busy' then 'MM005' when 'lost' then 'MM006'
      when 'past' then 'MM007' when 'far' then 'MM007' when 'announced' then 'MM008'
      else case state.mode when 'exclusive' then 'MM002' else 'MM001' end end,
    message = case cause
      when 'stranger' then format('maintenance is held by %s', state.maintainer)
      when 'normal' then 'the mode is normal: there is no maintenance'
      when 'busy' then format('a task of %s is running', state.maintainer)
      when 'lost' then 'the maintenance was ended or taken over meanwhile'
      when 'past' then format('it is %s already', clock_timestamp())
      when 'far' then format('it is only %s, and a window begins within a year', clock_timestamp())
      when 'announced' then format('maintenance by %s is announced for %s', state.maintainer, state.since)
      else format('%s maintenance by %s', state.mode, state.maintainer) end,
    detail = (jsonb_build_object('mode', state.mode, 'maintainer', state.maintainer, 'reason', state.reason,
      'since', {schema}.unix_ms(state.since), 'epoch', state.epoch,
      'expires_at', {schema}.unix_ms({schema}.latest_end_of(state)),
      'retry_after_ms', ceil(extract(epoch from {schema}.latest_end_of(state) - clock_timestamp()) * 1000))
      || case cause when 'busy' then {schema}.facts_of(state.task) else '{}' end)::text,
    hint = case cause when 'cursor' then
      'A cursor WITH HOLD is run by the COMMIT, when nobody can check any more what it does: read it without HOLD, in a transaction.'
      else '' end;
end $$;
comment on function {schema}.refuse is
  'Raises the refusal: MM001 a write in concurrent mode, MM002 an access in exclusive mode, MM003 a change of mode by somebody else, MM004 a change of a window that is not there, MM005 a second task of the maintainer at once, MM006 a task whose window is gone, MM007 a start that is past, MM008 a window beside one that is announced.';

create or replace function {schema}.share_state() returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  shared_state {schema}.state;
begin
  -- Shares of a row can follow one another without an end, and a switch would wait for ever. So a switch asks for this lock
  -- first, and who shares the row comes after it.
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
  'The state, which nobody can change until the transaction ends; raises 40001 if it has changed, or is being changed, since a snapshot that is older than this statement.';

create or replace function {schema}.current_state() returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  found_state {schema}.state;
begin
  select * into found_state from {schema}.state;
  -- A snapshot that is older than this statement may show a state that has changed since. If the stamp is another one,
  -- locking the row makes PostgreSQL raise 40001 then, and the transaction is to be retried. A window that has expired may
  -- just be being extended.
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable')
      and found_state.stamp is distinct from pg_sequence_last_value('{schema}.stamp')
      or found_state.expires_at <= clock_timestamp() then
    found_state := {schema}.share_state();
  end if;
  if found_state.mode is null then
    raise exception using errcode = 'MM009', message = 'the maintenance state has no row';
  end if;
  return {schema}.as_of_now(found_state);
end $$;
comment on function {schema}.current_state is
  'The state as committed now, whatever the isolation level; 40001 if it changed since the snapshot was taken.';

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
    if state.mode is null then
      raise exception using errcode = 'MM009', message = 'the maintenance state has no row';
    end if;
  end loop;
  if state.mode <> 'normal' and not {schema}.is_admitted(state, acting_user, is_emergency) then
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
begin
  select epoch into held_epoch from {schema}.state;
  loop
    perform pg_advisory_lock_shared({hold}, coalesce(held_epoch, 0));
    state := {schema}.current_state();
    exit when state.epoch = held_epoch;
    perform pg_advisory_unlock_shared({hold}, coalesce(held_epoch, 0));
    held_epoch := state.epoch;
  end loop;
  if {schema}.is_admitted(state, acting_user, is_emergency) then
    return held_epoch;
  end if;
  perform pg_advisory_unlock_shared({hold}, held_epoch);
  if state.mode = 'exclusive' then
    perform {schema}.refuse(state, 'access');
  end if;
  return null;
end $$;
comment on function {schema}.hold is
  'For statements that end a transaction themselves: keeps a session-level share of the gate, to be unlocked by the caller, also where this fails; null if the user may only read.';

create or replace function {schema}.admit_reader(acting_user text, is_emergency boolean) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  select * into state from {schema}.state;
  if state.mode is null then
    raise exception using errcode = 'MM009', message = 'the maintenance state has no row';
  end if;
  state := {schema}.as_of_now(state);
  if state.mode = 'exclusive' and not {schema}.is_admitted(state, acting_user, is_emergency) then
    perform {schema}.refuse(state, 'access');
  end if;
end $$;
comment on function {schema}.admit_reader is 'Raises the refusal of a user who may not even read.';

create or replace function {schema}.admit(acting_user text, is_emergency boolean) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  select * into state from {schema}.state;
  if state.mode is null then
    raise exception using errcode = 'MM009', message = 'the maintenance state has no row';
  end if;
  state := {schema}.as_of_now(state);
  if not {schema}.is_admitted(state, acting_user, is_emergency) then
    perform {schema}.refuse(state, 'access');
  end if;
end $$;
comment on function {schema}.admit is 'Raises the refusal of a user who is restricted, whether anything was changed or not.';

create or replace function {schema}.flush_on_commit() returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    select set_config('synchronous_commit', 'on', true)
    where current_setting('synchronous_commit') in ('off', 'local');
  end;
comment on function {schema}.flush_on_commit is
  'A change of mode must outlive a crash, also where the application commits asynchronously.';

create or replace function {schema}.await_no_standby() returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    select set_config('synchronous_commit', 'local', true);
  end;
comment on function {schema}.await_no_standby is
  'Has the commit be durable here, and not wait for a synchronous standby: for what nobody is promised, and what is done again if a failover loses it. While a standby is missing, it would never be done, and what waits for that would not either.';

create or replace function {schema}.wait_briefly() returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    select set_config('lock_timeout', '250', true);
  end;
comment on function {schema}.wait_briefly is
  'Has the transaction give up what it waits for longer (55P03): who asked can look who is in the way, and ask again.';

create or replace function {schema}.lock_state() returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  perform {schema}.flush_on_commit();
  perform {schema}.wait_briefly();
  perform pg_advisory_xact_lock({hold}::bigint);
  select * into state from {schema}.state for update;
  if state.mode is null then
    raise exception using errcode = 'MM009', message = 'the maintenance state has no row';
  end if;
  return {schema}.put_expired(state);
end $$;
comment on function {schema}.lock_state is
  'The state as it is now, to be changed by who calls: nobody else can until the transaction ends. A window that has expired is ended in the row, too. Raises 55P03 if others hold it for long.';

create or replace function {schema}.made(change_name text) returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
  begin atomic
    select exists (select from {schema}.change where name = change_name);
  end;
comment on function {schema}.made is 'Whether a change was made already.';

create or replace function {schema}.note_change(change_name text, new_epoch integer) returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    -- By now(), with which PostgreSQL can use the index; and few at a time, so that no change of mode is long.
    delete from {schema}.change where ctid = any (array(
      select c.ctid from {schema}.change c where c.at < now() - interval '1 hour' order by c.at limit 100
    ));
    insert into {schema}.change (name, epoch) select change_name, new_epoch where change_name is not null on conflict do nothing;
  end;
comment on function {schema}.note_change is 'Says that a change was made, if it has a name.';

create or replace function {schema}.put_state(new_state {schema}.state, change_name text default null) returns integer
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  new_epoch integer;
begin
  update {schema}.state s set
    epoch = s.epoch + 1, mode = new_state.mode, maintainer = new_state.maintainer, reason = new_state.reason,
    since = new_state.since, task = new_state.task, previous = new_state.previous,
    expires_at = new_state.expires_at, latest = new_state.latest, lease = new_state.lease, grace_ms = new_state.grace_ms,
    readers = new_state.readers, made_by = coalesce(change_name, gen_random_uuid()::text)
  returning s.epoch into new_epoch;
  perform {schema}.note_change(change_name, new_epoch);
  perform pg_notify({channel}, new_epoch::text);
  return new_epoch;
end $$;
comment on function {schema}.put_state is 'Makes this the state, under the next epoch, which is returned; after lock_state().';

create or replace function {schema}.enter(
  new_mode text, acting_user text, is_emergency boolean, new_reason text,
  new_task text default null, within_task text default null, expires_in_ms double precision default null,
  new_lease text default null, new_grace_ms double precision default null, new_readers integer default null,
  before jsonb default null, unties boolean default false, change_name text default null
)
  returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  entered {schema}.state;
  has_terms boolean := expires_in_ms is not null or new_lease is not null or unties;
  is_new_task boolean := new_task is distinct from within_task;
begin
  if new_mode is null or new_mode not in ('concurrent', 'exclusive') then
    raise exception using errcode = '22023', message = format('unknown mode %L', new_mode);
  end if;
  if acting_user is null or is_emergency is null then
    raise exception using errcode = '22004', message = 'the acting user must be given';
  end if;
  perform {schema}.check_duration(expires_in_ms);
  state := {schema}.without_gone({schema}.lock_state(), acting_user, is_new_task, within_task);
  if not {schema}.is_admitted(state, acting_user, is_emergency) then
    perform {schema}.refuse(state, 'stranger');
  end if;
  -- Of two tasks of one user side by side, the first to end would end the other's window.
  if is_new_task and state.maintainer = acting_user
      and state.task is not null and state.task is distinct from within_task then
    perform {schema}.refuse(state, 'busy');
  end if;
  if not is_new_task then
    -- What is entered within a task ends the windows that it has opened within its own.
    state := {schema}.uncovered(state, new_task);
  end if;
  entered := case when state.maintainer = acting_user then state else {schema}.without_window(state) end;
  entered.mode := new_mode;
  entered.maintainer := acting_user;
  entered.reason := coalesce(new_reason, entered.reason);
  entered.since := coalesce(entered.since, clock_timestamp());
  entered.readers := coalesce(new_readers, entered.readers);
  if has_terms then
    -- A task has terms of its own; else what is not said is as before.
    entered.latest := case when is_new_task then null else {schema}.latest_end_of(entered) end;
    if expires_in_ms is not null then
      entered.latest := clock_timestamp() + expires_in_ms * interval '1 millisecond';
    end if;
    if is_new_task or new_lease is not null or unties then
      entered.lease := new_lease;
      entered.grace_ms := new_grace_ms;
    end if;
    entered.expires_at := {schema}.end_of(entered);
  end if;
  entered.task := new_task;
  if is_new_task then
    perform {schema}.note_change('start of ' || new_task, null);
    insert into {schema}.task (name) values (new_task) on conflict do nothing;
  elsif state.task is distinct from new_task
      and ({schema}.made('end of ' || new_task) or not {schema}.made('start of ' || new_task)) then
    -- What it was called within is over by now, or the task of another schema.
    entered.task := null;
  end if;
  if is_new_task then
    entered.previous := coalesce(before, {schema}.to_put_back(state, acting_user, has_terms));
  elsif new_task is null or state.task is distinct from new_task then
    entered.previous := null;
  elsif has_terms then
    -- They are the task's, and not to be left to what is put back after it.
    entered.previous := {schema}.before_that(entered.previous, to_jsonb(state)) || '{"leaves_terms": false}';
  end if;
  return {schema}.put_state(entered, change_name);
end $$;
comment on function {schema}.enter is
  'Opens the window, or switches its mode, or (an emergency user) takes it over; returns the epoch. before is what to put back after the task, if that is not the state as it is. The caller commits, then waits for holders() to be empty.';

create or replace function {schema}.check_duration(expires_in_ms double precision) returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if expires_in_ms < 1000 then
    raise exception using errcode = '22023', message = format('a window stands for 1000 ms or more, not for %s', expires_in_ms);
  end if;
end $$;
comment on function {schema}.check_duration is 'Raises 22023 for a time that makes no sense for a window.';

create or replace function {schema}.uncovered(state {schema}.state, of_task text) returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  found_state {schema}.state := state;
begin
  while found_state.task is distinct from of_task and found_state.previous is not null loop
    found_state := {schema}.state_before(found_state, found_state.previous);
  end loop;
  return case when found_state.task = of_task then found_state else state end;
end $$;
comment on function {schema}.uncovered is
  'The state without the windows that were opened within that of a task; as it is, if there is none of that task.';

create or replace function {schema}.end_of(state {schema}.state) returns timestamptz
  language sql
  set search_path = pg_catalog, pg_temp
  return least((state).latest, clock_timestamp() + (state).grace_ms * interval '1 millisecond');
comment on function {schema}.end_of is 'When the window ends by itself if nothing is heard of its process from now on.';

create or replace function {schema}.leave(acting_user text, is_emergency boolean, change_name text default null) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  if acting_user is null or is_emergency is null then
    raise exception using errcode = '22004', message = 'the acting user must be given';
  end if;
  state := {schema}.lock_state();
  if {schema}.made(change_name) then
    return state.epoch;
  end if;
  if state.mode = 'normal' then
    perform {schema}.refuse(state, 'normal');
  end if;
  if not {schema}.is_admitted(state, acting_user, is_emergency) then
    perform {schema}.refuse(state, 'stranger');
  end if;
  return {schema}.put_state({schema}.without_window(state), change_name);
end $$;
comment on function {schema}.leave is 'Ends the window.';

create or replace function {schema}.to_put_back(state {schema}.state, acting_user text, has_terms boolean) returns jsonb
  language sql stable
  set search_path = pg_catalog, pg_temp
  return to_jsonb(state) || jsonb_build_object('leaves_terms', not has_terms and coalesce((state).maintainer = acting_user, false));
comment on function {schema}.to_put_back is
  'The state, for state_before(): the end of the window is left as it is by then, if the next window has none of its own.';

create or replace function {schema}.state_before(state {schema}.state, before jsonb) returns {schema}.state
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  former {schema}.state := jsonb_populate_record({schema}.without_window(state), before - array['epoch', 'made_by', 'stamp']);
begin
  if (before ->> 'leaves_terms')::boolean and former.maintainer = state.maintainer then
    -- As they are by now: they may have been extended.
    former.expires_at := state.expires_at;
    former.latest := state.latest;
    former.lease := state.lease;
    former.grace_ms := state.grace_ms;
  elsif former.lease is not null then
    -- Nobody could have it put off meanwhile.
    former.expires_at := {schema}.end_of(former);
  end if;
  return former;
end $$;
comment on function {schema}.state_before is 'What is put back after a window, from what was there before.';

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
  if state.mode = 'normal' then
    perform {schema}.refuse(state, 'normal');
  end if;
  if not coalesce({schema}.is_admitted(state, acting_user, is_emergency), false) then
    perform {schema}.refuse(state, 'stranger');
  end if;
  update {schema}.state set expires_at = new_end, latest = new_end, lease = null, grace_ms = null;
  perform {schema}.note_change(change_name, state.epoch);
  perform pg_notify({channel}, 'expiry');
end $$;
comment on function {schema}.extend is 'Has the window end by itself so much later than now, or (null) not at all, whoever lives.';

create or replace function {schema}.renew(held_lease text) returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  perform {schema}.wait_briefly();
  -- A renewal that waits is not seen, and the window ends though its process lives. One that a failover loses is made up for by
  -- the next, which comes within a third of the time.
  perform {schema}.await_no_standby();
  if exists (select from {schema}.state s where s.expires_at <= clock_timestamp()) then
    perform {schema}.mend();
  end if;
  -- Without the lock of a switch, which others would wait for.
  select * into state from {schema}.state for update;
  update {schema}.state s set expires_at = {schema}.end_of(s)
  where state.lease = held_lease and s.expires_at < {schema}.end_of(s) and s.expires_at > clock_timestamp();
  return state.mode <> 'normal';
end $$;
comment on function {schema}.renew is
  'Puts off the end of a window that is tied to a process, by that process; false if there is no window, not even one after which its own is put back.';

create or replace function {schema}.status()
  returns table (
    mode text, maintainer text, reason text, since timestamptz, epoch integer, expires_at timestamptz,
    retry_after_ms double precision, grace_ms double precision, readers integer, ends_in_ms double precision,
    ends_at_ms double precision, stamp text
  )
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select n.mode, n.maintainer, n.reason, n.since, n.epoch, {schema}.latest_end_of(n),
      extract(epoch from {schema}.latest_end_of(n) - clock_timestamp())::double precision * 1000, n.grace_ms,
      case n.mode when 'concurrent' then n.readers end,
      extract(epoch from n.expires_at - clock_timestamp())::double precision * 1000,
      floor(extract(epoch from n.expires_at)::double precision * 1000),
      case
        when s.stamp = pg_sequence_last_value('{schema}.stamp') and not coalesce(s.expires_at <= clock_timestamp(), false)
        then s.stamp::text
      end
    from {schema}.state s, {schema}.as_of_now(s) n;
  end;
comment on function {schema}.status is
  'The state, for everybody: expires_at is when the window ends whoever lives, grace_ms how long it goes on without the process that it is tied to, ends_in_ms when it does if nothing is heard of that, as ends_at_ms since 1970; without its stamp if that is not what transactions see, as after a switch that was rolled back, and if it has expired: then mend() is to be called.';

create or replace function {schema}.mend() returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  if exists (select from {schema}.state s where s.expires_at <= clock_timestamp()) then
    -- Every commit shares the state until this is done, so that one could not get in between by trying.
    perform {schema}.wait_briefly();
    perform pg_advisory_xact_lock({hold}::bigint);
  elsif not pg_try_advisory_xact_lock({hold}::bigint) then
    -- A switch that is being made has set the stamp already, and not committed yet: it is waited for by looking again later.
    return;
  end if;
  -- What it does follows from the row and the clock, and is done again if it is lost.
  perform {schema}.await_no_standby();
  select * into state from {schema}.state for update skip locked;
  if state.expires_at <= clock_timestamp() then
    perform {schema}.put_expired(state);
    return;
  end if;
  update {schema}.state s set epoch = s.epoch
  where s.epoch = state.epoch and stamp is distinct from pg_sequence_last_value('{schema}.stamp');
  if found then
    perform pg_notify({channel}, 'stamp');
  end if;
end $$;
comment on function {schema}.mend is
  'Ends a window that has expired; gives the state a new stamp, if it has lost its own. Does nothing while others hold the state; raises 55P03 if they hold it for long and it has expired.';
