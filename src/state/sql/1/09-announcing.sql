-- Can be run again, to put back what was lost. Windows that are announced, and begin later.

create or replace function {schema}.as_begun(announced {schema}.window) returns {schema}.state
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state := {schema}.state_in(null, announced);
begin
  state.since := announced.starts_at;
  return state;
end $$;
comment on function {schema}.as_begun is 'The state that an announced window will bring, as far as it is known.';

create or replace function {schema}.announce(request jsonb) returns double precision
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  asked record;
  state {schema}.state := {schema}.lock_state();
  other {schema}.window;
  start timestamptz;
begin
  select * into asked from jsonb_to_record(request) as r (
    id text, mode text, acting_user text, is_emergency boolean, reason text, message text, instance integer,
    starts_at_ms double precision, starts_in_ms double precision
  );
  start := coalesce(to_timestamp(asked.starts_at_ms / 1000), clock_timestamp() + asked.starts_in_ms * interval '1 millisecond');
  select * into other from {schema}.window w where w.id = asked.id;
  if found and other.position = 'announced' then
    return extract(epoch from other.starts_at - clock_timestamp()) * 1000;
  elsif {schema}.made(asked.id) then
    perform {schema}.refuse(state, 'lost');
  elsif not coalesce({schema}.is_admitted(state, asked.acting_user, asked.is_emergency), false) then
    perform {schema}.refuse(state, 'stranger');
  end if;
  select * into other from {schema}.window w
  where w.position = 'announced' and w.starts_at > clock_timestamp() and w.maintainer <> asked.acting_user and not asked.is_emergency
    and not {schema}.is_gone(w);
  if found then
    perform {schema}.refuse({schema}.as_begun(other), 'announced');
  elsif start <= clock_timestamp() then
    perform {schema}.refuse(state, 'past');
  elsif start > clock_timestamp() + interval '1 year' then
    perform {schema}.refuse(state, 'far');
  end if;
  delete from {schema}.window where position = 'announced';
  insert into {schema}.window (id, position, mode, maintainer, reason, message, starts_at, request, instance)
  values (asked.id, 'announced', asked.mode, asked.acting_user, asked.reason, asked.message, start, request, asked.instance);
  perform pg_notify({channel}, 'announced');
  return extract(epoch from start - clock_timestamp()) * 1000;
end $$;
comment on function {schema}.announce is
  'Says that a window will begin; returns in how many milliseconds. The request is as for start_entering(), with starts_at_ms, since 1970, or starts_in_ms. The caller waits, and calls start_entering() or cancel().';

create or replace function {schema}.starts_in(announced_id text) returns double precision
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select extract(epoch from w.starts_at - clock_timestamp())::double precision * 1000
    from {schema}.window w where w.id = announced_id and w.position = 'announced';
  end;
comment on function {schema}.starts_in is 'In how many milliseconds what a call has announced is to begin; null if it was cancelled.';

create or replace function {schema}.cancel(announced_id text, acting_user text, is_emergency boolean, change_name text default null)
  returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.lock_state();
  if {schema}.made(change_name) then
    return true;
  end if;
  delete from {schema}.window w
  where w.position = 'announced' and w.id = coalesce(announced_id, w.id) and (is_emergency or w.maintainer = acting_user)
    -- Until then it may begin late, if somebody waits for it.
    and (announced_id is not null or w.starts_at > clock_timestamp()
      or w.starts_at > clock_timestamp() - interval '1 minute' and not {schema}.is_gone(w));
  if found then
    perform {schema}.note_change(change_name, 'cancelled', announced_id, null, acting_user, is_emergency);
    perform pg_notify({channel}, 'announced');
    return true;
  end if;
  if announced_id is null then
    perform {schema}.refuse({schema}.as_begun(w), 'announced') from {schema}.window w
    where w.position = 'announced' and w.starts_at > clock_timestamp();
  end if;
  return false;
end $$;
comment on function {schema}.cancel is
  'Takes back what was announced, by this call or (null) by this user; returns whether there was something. Raises MM008 for what somebody else has announced.';

create or replace function {schema}.lapse(ids text[]) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.wait_briefly();
  -- If a failover loses it, nothing begins all the same: nobody is there at the time.
  perform {schema}.await_no_standby();
  delete from {schema}.window where position = 'announced' and id = any (ids);
  if found then
    perform pg_notify({channel}, 'announced');
  end if;
end $$;
comment on function {schema}.lapse is 'Takes back what these calls have announced, because their process waits no more.';
