-- May be run again to recreate missing objects. Windows that are announced, and begin later.

create or replace function {schema}.end_of(announced {schema}.window) returns timestamptz
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return coalesce((announced).expires_at, (announced).planned_at);
comment on function {schema}.end_of is
  'Returns the time at which an announced window will be over, as far as its maintainer has given it; otherwise null.';

create or replace function {schema}.is_forsaken(announced {schema}.window) returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
  return (announced).request ->> 'task' is not null and {schema}.is_gone(announced);
comment on function {schema}.is_forsaken is
  'Whether the window will not begin: only a task''s own process begins it, and that is gone, permanently or briefly.';

create or replace function {schema}.as_begun(announced {schema}.window) returns {schema}.state
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state := {schema}.state_in(null, announced);
begin
  state.since := announced.starts_at;
  state.expires_at := {schema}.end_of(announced);
  return state;
end $$;
comment on function {schema}.as_begun is
  'Returns the state that an announced window will bring, as far as it is known.';

create or replace function {schema}.announce(request jsonb) returns bigint
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  asked record;
  state {schema}.state := {schema}.lock_state();
  coming {schema}.window;
  other {schema}.window;
  overlapping text[];
begin
  select * into asked from jsonb_to_record(request) as r (
    id text, mode text, acting_user text, is_emergency boolean, reason text, message text, instance integer,
    expires_in_ms double precision, planned_in_ms double precision, starts_at_ms double precision, starts_in_ms double precision
  );
  if asked.acting_user is null or asked.is_emergency is null then
    raise exception using errcode = '22004', message = 'the acting user must be given';
  end if;
  perform {schema}.check_duration(asked.expires_in_ms);
  perform {schema}.check_duration(asked.planned_in_ms);
  select * into other from {schema}.window w where w.id = asked.id;
  if found then
    -- A repeated request, whatever has become of the window.
    return {schema}.unix_ms(other.starts_at);
  elsif {schema}.made(asked.id) then
    perform {schema}.refuse(state, 'lost');
  elsif {schema}.restriction_of(state, asked.acting_user, asked.is_emergency) <> 'none' then
    perform {schema}.refuse(state, 'stranger');
  end if;
  coming.starts_at := coalesce(to_timestamp(asked.starts_at_ms / 1000), clock_timestamp() + asked.starts_in_ms * interval '1 millisecond');
  if coming.starts_at <= clock_timestamp() then
    perform {schema}.refuse(state, 'past');
  elsif coming.starts_at > clock_timestamp() + interval '1 year' then
    perform {schema}.refuse(state, 'far');
  end if;
  coming.expires_at := coming.starts_at + asked.expires_in_ms * interval '1 millisecond';
  coming.planned_at := coming.starts_at + asked.planned_in_ms * interval '1 millisecond';

  overlapping := array(
    select w.id from {schema}.window w
    where w.position = 'announced'
      and tstzrange(w.starts_at, {schema}.end_of(w)) && tstzrange(coming.starts_at, {schema}.end_of(coming))
  );
  select * into other from {schema}.window w
  where w.id = any (overlapping) and w.maintainer <> asked.acting_user and not asked.is_emergency and not {schema}.is_forsaken(w)
  order by w.starts_at limit 1;
  if found then
    perform {schema}.refuse({schema}.as_begun(other), 'announced',
      jsonb_build_object('is_bounded', {schema}.end_of(other) is not null and {schema}.end_of(coming) is not null));
  end if;
  perform {schema}.close(array[w.id], case when w.maintainer = asked.acting_user then 'switched' else 'taken over' end, asked.acting_user,
    asked.is_emergency)
  from {schema}.window w where w.id = any (overlapping);
  insert into {schema}.window (id, position, mode, maintainer, reason, message, starts_at, request, planned_at, expires_at, instance, host, pid)
  select asked.id, 'announced', asked.mode, asked.acting_user, asked.reason, asked.message, coming.starts_at, request, coming.planned_at,
    coming.expires_at, asked.instance, i.host, i.pid
  from (values (1)) as one left join {schema}.instance i on i.id = asked.instance;
  perform {schema}.note_change('announcement of ' || asked.id, 'announced', asked.id, null, asked.acting_user, asked.is_emergency);
  perform pg_notify({channel}, 'announced');
  return {schema}.unix_ms(coming.starts_at);
end $$;
comment on function {schema}.announce is
  'Announces a window; returns its start in milliseconds since 1970. The request is that of start_entering(), with starts_at_ms (since 1970) or starts_in_ms. It may have drain (how to wait for in-flight transactions) and instance (whose call waits for the start). Overlapping windows of the same maintainer are replaced; for an emergency user, all overlapping ones are. Raises MM008 if it overlaps another user''s, MM007 for a start that is past or too far away.';

create or replace function {schema}.announcement(announced_id text)
  returns table (starts_in_ms double precision, "position" text, ended_because text, ended_by text)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select extract(epoch from w.starts_at - clock_timestamp())::double precision * 1000, w.position, w.ended_because, w.ended_by
    from {schema}.window w where w.id = announced_id;
  end;
comment on function {schema}.announcement is
  'Returns the present position of an announced window, and the milliseconds until it begins.';

create or replace function {schema}.begin_announced(request jsonb) returns jsonb
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  asked record;
  announced {schema}.window;
  standing {schema}.window;
  begun_epoch integer;
  is_missed boolean;
begin
  select * into asked from jsonb_to_record(request) as r (id text, name text, instance integer);
  perform {schema}.lock_state();
  if {schema}.made(asked.name) then
    begun_epoch := {schema}.epoch_of(asked.name);
    select * into announced from {schema}.window w where w.id = asked.id;
  else
    select * into announced from {schema}.window w where w.id = asked.id and w.position = 'announced';
    if not found then
      return null;
    elsif announced.starts_at > clock_timestamp() then
      return jsonb_build_object('starts_in_ms', extract(epoch from announced.starts_at - clock_timestamp()) * 1000);
    end if;
    is_missed := coalesce(announced.expires_at <= clock_timestamp(), false);
    standing := {schema}.in_force();
    if not is_missed and standing.maintainer = announced.maintainer and standing.task is not null
        and not ({schema}.is_gone(standing) or standing.is_given_up) then
      -- Not over the work of the same user.
      return jsonb_build_object('starts_in_ms', 1000);
    end if;
    if announced.request ->> 'task' is not null then
      -- Its own process may be late.
      is_missed := is_missed or announced.starts_at <= clock_timestamp() - interval '1 minute'
        and (announced.instance is null or {schema}.is_gone(announced));
    elsif not is_missed then
      begin
        begun_epoch := {schema}.start_entering(
          announced.request || jsonb_build_object('id', announced.id, 'instance', asked.instance, 'is_announced', true));
        perform {schema}.note_change(asked.name, 'begun', announced.id, begun_epoch, announced.maintainer);
      exception when sqlstate 'MM003' then
        is_missed := true;
      end;
    end if;
    if is_missed then
      perform {schema}.close(array[announced.id], 'missed', null, noted => array[announced.id]);
      perform {schema}.note_change(asked.name, 'missed', announced.id);
      perform pg_notify({channel}, 'announced');
    end if;
  end if;
  return case when begun_epoch is not null then jsonb_build_object('epoch', begun_epoch, 'request', announced.request,
    'late_ms', extract(epoch from clock_timestamp() - announced.starts_at) * 1000) end;
end $$;
comment on function {schema}.begin_announced is
  'Begins a window whose time has come, in the name of its maintainer, like start_entering(). The request has id, name (of the change) and instance. Returns the epoch, the announced request and the delay in milliseconds; or the milliseconds until the window begins, if it is too early; or null if there is nothing to begin: others were first, it was cancelled, or it is missed now.';

create or replace function {schema}.cancel(announced_id text, acting_user text, is_emergency boolean, change_name text default null)
  returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state := {schema}.lock_state();
  announced {schema}.window;
begin
  if acting_user is null or is_emergency is null then
    raise exception using errcode = '22004', message = 'the acting user must be given';
  elsif {schema}.made(change_name) then
    return;
  end if;
  select * into announced from {schema}.window w where w.id = announced_id;
  if announced.position is distinct from 'announced' then
    perform {schema}.refuse(state, 'not announced', jsonb_build_object('position', announced.position, 'ended_because',
      announced.ended_because, 'ended_by', announced.ended_by, 'ended_at', {schema}.unix_ms(announced.ended_at), 'begun_at',
      {schema}.unix_ms(announced.begun_at)));
  elsif not is_emergency and announced.maintainer <> acting_user then
    perform {schema}.refuse({schema}.as_begun(announced), 'announced');
  end if;
  perform {schema}.close(array[announced_id], 'cancelled', acting_user, noted => array[announced_id]);
  perform {schema}.note_change(change_name, 'cancelled', announced_id, null, acting_user, is_emergency);
  perform pg_notify({channel}, 'announced');
end $$;
comment on function {schema}.cancel is
  'Cancels the window announced under this id. Raises MM008 if another user has announced it, MM004 if it is not, or no longer, announced.';

create or replace function {schema}.cancel_announced(acting_user text, is_emergency boolean, change_name text default null) returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  ids text[];
begin
  perform {schema}.lock_state();
  if {schema}.made(change_name) then
    return true;
  end if;
  ids := array(select w.id from {schema}.window w where w.position = 'announced' and w.maintainer = acting_user order by w.starts_at);
  if is_emergency and ids = '{}' then
    ids := array(select w.id from {schema}.window w where w.position = 'announced' order by w.starts_at);
  end if;
  if {schema}.close(ids, 'cancelled', acting_user, is_emergency, ids[:1]) then
    perform {schema}.note_change(change_name, 'cancelled', ids[1], null, acting_user, is_emergency);
    perform pg_notify({channel}, 'announced');
    return true;
  end if;
  perform {schema}.refuse({schema}.as_begun(w), 'announced') from {schema}.window w where w.position = 'announced' order by w.starts_at limit 1;
  return false;
end $$;
comment on function {schema}.cancel_announced is
  'Cancels all windows that this user has announced; for an emergency user without any, all windows of other users. Returns whether there was one. Raises MM008 if only other users have announced windows.';

create or replace function {schema}.lapse(ids text[], because text) returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  lapsed {schema}.window;
  has_lapsed boolean := false;
begin
  perform {schema}.lock_state();
  for lapsed in select * from {schema}.window w where w.position = 'announced' and w.id = any (ids) loop
    has_lapsed := {schema}.close(array[lapsed.id], because, case because when 'cancelled' then lapsed.maintainer end,
      noted => array[lapsed.id]);
    perform {schema}.note_change(null, because, lapsed.id, null, lapsed.maintainer);
  end loop;
  if has_lapsed then
    perform pg_notify({channel}, 'announced');
  end if;
  return has_lapsed;
end $$;
comment on function {schema}.lapse is
  'Ends the windows that these calls have announced, because the calls no longer wait (cancelled) or could not begin them (missed); returns whether there was one.';
