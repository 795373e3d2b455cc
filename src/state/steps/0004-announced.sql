-- Can be run again, to put back what was lost. A window that is announced, and begins later.

create table if not exists {schema}.announced (
  only_row boolean primary key default true check (only_row),
  entry text not null,
  instance integer,
  mode text not null check (mode in ('concurrent', 'exclusive')),
  maintainer text not null check (length(maintainer) between 1 and 200),
  reason text check (length(reason) between 1 and 1000),
  starts_at timestamptz not null,
  expires_in_ms double precision
);
comment on table {schema}.announced is
  'The window that is to begin next, by the call that announced it and waits for the time, in which instance. If that is gone by then, none begins.';

create or replace function {schema}.is_interrupted(announced {schema}.announced) returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  -- A replica has no locks of theirs.
  return (announced).instance is not null and not pg_is_in_recovery() and (announced).instance not in (select {schema}.live());
comment on function {schema}.is_interrupted is 'Whether the instance that waits for the time is gone, for ever or for a moment. Where instances are not known, nobody can tell.';

create or replace function {schema}.as_begun(announced {schema}.announced) returns {schema}.state
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
begin
  state.mode := announced.mode;
  state.maintainer := announced.maintainer;
  state.reason := announced.reason;
  state.since := announced.starts_at;
  return state;
end $$;
comment on function {schema}.as_begun is 'The state that an announced window will bring, as far as it is known.';

create or replace function {schema}.announce(
  new_entry text, new_mode text, acting_user text, is_emergency boolean, new_reason text,
  new_start timestamptz, starts_in_ms double precision, new_expires_in_ms double precision, own_instance integer
)
  returns double precision
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  other {schema}.announced;
  start timestamptz := coalesce(new_start, clock_timestamp() + starts_in_ms * interval '1 millisecond');
begin
  state := {schema}.lock_state();
  if {schema}.made(new_entry) then
    perform {schema}.refuse(state, 'lost');
  end if;
  if not coalesce({schema}.is_admitted(state, acting_user, is_emergency), false) then
    perform {schema}.refuse(state, 'stranger');
  end if;
  select * into other from {schema}.announced a
  where a.starts_at > clock_timestamp() and a.maintainer <> acting_user and not is_emergency and not {schema}.is_interrupted(a);
  if found then
    perform {schema}.refuse({schema}.as_begun(other), 'announced');
  end if;
  if start <= clock_timestamp() then
    perform {schema}.refuse(state, 'past');
  end if;
  if start > clock_timestamp() + interval '1 year' then
    perform {schema}.refuse(state, 'far');
  end if;
  delete from {schema}.announced a where a.entry <> new_entry;
  insert into {schema}.announced (entry, instance, mode, maintainer, reason, starts_at, expires_in_ms)
  values (new_entry, own_instance, new_mode, acting_user, new_reason, start, new_expires_in_ms)
  on conflict do nothing;
  perform pg_notify({channel}, 'announced');
  return extract(epoch from (select a.starts_at from {schema}.announced a) - clock_timestamp()) * 1000;
end $$;
comment on function {schema}.announce is
  'Says that a window will begin; returns in how many milliseconds. The caller waits, and calls start_announced() or withdraw().';

create or replace function {schema}.start_announced(
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
begin
  state := {schema}.lock_state();
  delete from {schema}.announced where entry = new_entry and starts_at > clock_timestamp() - interval '1 minute';
  if not found and not {schema}.made(new_entry) then
    perform {schema}.refuse(state, 'lost');
  end if;
  return {schema}.start_entering(new_entry, new_mode, acting_user, is_emergency, new_reason, new_task, within_task,
    expires_in_ms, unties, new_lease, new_grace_ms, new_readers, own_instance, within_ms);
end $$;
comment on function {schema}.start_announced is
  'As start_entering(), for a window that was announced; raises MM006 if that was withdrawn, or for a minute ago.';

create or replace function {schema}.starts_in(own_entry text) returns double precision
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select extract(epoch from a.starts_at - clock_timestamp())::double precision * 1000
    from {schema}.announced a where a.entry = own_entry;
  end;
comment on function {schema}.starts_in is 'In how many milliseconds what a call has announced is to begin; null if it was withdrawn.';

create or replace function {schema}.withdraw(own_entry text, acting_user text, is_emergency boolean, change_name text default null)
  returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.lock_state();
  if {schema}.made(change_name) then
    return true;
  end if;
  delete from {schema}.announced a
  where a.entry = coalesce(own_entry, a.entry) and (is_emergency or a.maintainer = acting_user)
    -- Until then it may begin late, if somebody waits for it.
    and (own_entry is not null or a.starts_at > clock_timestamp()
      or a.starts_at > clock_timestamp() - interval '1 minute' and not {schema}.is_interrupted(a));
  if found then
    perform {schema}.note_change(change_name, null);
    perform pg_notify({channel}, 'announced');
    return true;
  end if;
  if own_entry is null then
    perform {schema}.refuse({schema}.as_begun(a), 'announced') from {schema}.announced a where a.starts_at > clock_timestamp();
  end if;
  return false;
end $$;
comment on function {schema}.withdraw is
  'Takes back what was announced, by this call or (null) by this user; returns whether there was something. Raises MM008 for what somebody else has announced.';

create or replace function {schema}.lapse(entries text[]) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.wait_briefly();
  -- If a failover loses it, nothing begins all the same: nobody is there at the time.
  perform {schema}.await_no_standby();
  delete from {schema}.announced where entry = any (entries);
  if found then
    perform pg_notify({channel}, 'announced');
  end if;
end $$;
comment on function {schema}.lapse is 'Takes back what these calls have announced, because their process waits no more.';

create or replace function {schema}.announced()
  returns table (
    mode text, maintainer text, reason text, starts_at timestamptz, starts_in_ms double precision, expires_in_ms double precision,
    is_interrupted boolean
  )
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select a.mode, a.maintainer, a.reason, a.starts_at,
      extract(epoch from a.starts_at - clock_timestamp())::double precision * 1000, a.expires_in_ms, {schema}.is_interrupted(a)
    from {schema}.announced a
    where a.starts_at > clock_timestamp();
  end;
comment on function {schema}.announced is 'The window that is to begin, for everybody.';

create or replace function {schema}.state_and_announced()
  returns table (
    mode text, maintainer text, reason text, since_ms bigint, epoch integer, expires_at_ms bigint,
    retry_after_ms double precision, grace_ms double precision, readers integer, ends_in_ms double precision,
    ends_at_ms double precision, stamp text,
    announced_mode text, announced_maintainer text,
    announced_reason text, announced_start_ms bigint, announced_start_in_ms double precision,
    announced_expires_in_ms double precision, announced_is_interrupted boolean
  )
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select s.mode, s.maintainer, s.reason, {schema}.unix_ms(s.since), s.epoch, {schema}.unix_ms(s.expires_at),
      s.retry_after_ms, s.grace_ms, s.readers, s.ends_in_ms, s.ends_at_ms, s.stamp,
      a.mode, a.maintainer, a.reason, {schema}.unix_ms(a.starts_at), a.starts_in_ms, a.expires_in_ms, a.is_interrupted
    from {schema}.status() s left join {schema}.announced() a on true;
  end;
comment on function {schema}.state_and_announced is 'All that an instance is to know.';
