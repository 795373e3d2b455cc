-- May be run again to recreate missing objects. Commit durability, and the instances.

create or replace function {schema}.flush_on_commit() returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    select set_config('synchronous_commit', 'on', true)
    where current_setting('synchronous_commit') in ('off', 'local');
  end;
comment on function {schema}.flush_on_commit is
  'Makes the commit durable even if the application commits asynchronously: a change of mode must survive a crash.';

create or replace function {schema}.await_no_standby() returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    select set_config('synchronous_commit', 'local', true);
  end;
comment on function {schema}.await_no_standby is
  'Makes the commit durable here without waiting for a synchronous standby. It is for changes that are promised to no caller, and that are made again if a failover loses them. While a standby is missing, a commit that waits for it would never end, nor would anything behind it.';

create or replace function {schema}.wait_briefly() returns void
  language sql
  set search_path = pg_catalog, pg_temp
  begin atomic
    select set_config('lock_timeout', '250', true);
  end;
comment on function {schema}.wait_briefly is
  'Makes the transaction give up longer waits for a lock (55P03). The caller can then look for the blocker and retry.';

-- A separate sequence, because that of the table would be unlogged too: in PostgreSQL 18, such a sequence has
-- a bad magic number after a standby is promoted.
create sequence if not exists {schema}.instance_id as integer cycle;
comment on sequence {schema}.instance_id is 'The ids of instances.';

-- Unlogged, because a crash ends all instances, and they register again.
create unlogged table if not exists {schema}.instance (
  id integer primary key,
  host text not null,
  pid integer not null,
  version text not null,
  since timestamptz not null default clock_timestamp(),
  epoch integer not null,
  refusals bigint not null default 0,
  pool integer[] not null default '{}',
  connected timestamptz[] not null default '{}',
  unrestricted boolean[] not null default '{}',
  told_at timestamptz not null default clock_timestamp(),
  backend integer not null default pg_backend_pid()
);
comment on table {schema}.instance is
  'The instances, one for each DataSource in which the plugin is installed, with their last reports: the epoch of the state that they know, and the number of their refusals. pool lists the backends of the instance''s pool. connected is the latest possible start of each connection. unrestricted tells whether each acted for a user whom that state does not restrict. told_at is the time of the report. An instance is live as long as its watch, the session of this backend, holds the lock of its id.';

create or replace function {schema}.live() returns setof integer
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select objid::bigint::integer from pg_locks
    where locktype = 'advisory'
      and database = (select oid from pg_database where datname = current_database())
      and classid = {presence} and objsubid = 2 and granted
      -- is_gone() takes a shared lock for a moment.
      and mode = 'ExclusiveLock';
  end;
comment on function {schema}.live is 'Returns the ids of the instances whose watch is connected.';

create or replace function {schema}.own_instance() returns {schema}.instance
  language sql stable
  set search_path = pg_catalog, pg_temp
  begin atomic
    select i from {schema}.instance i
    where i.id = nullif(current_setting('typeorm_maintenance.instance_{presence}', true), '')::integer and i.backend = pg_backend_pid();
  end;
comment on function {schema}.own_instance is
  'Returns the instance whose watch this session is; null if it is none. The setting alone could be forged, and backend numbers are reused.';

create or replace function {schema}.register(new_host text, new_pid integer, new_version text, known_epoch integer, entries text[] default '{}', former_id integer default null)
  returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  new_id integer := nextval('{schema}.instance_id');
begin
  perform {schema}.await_no_standby();
  delete from {schema}.instance where id in (
    select id from {schema}.instance where id = former_id or id not in (select {schema}.live()) for update skip locked
  );
  insert into {schema}.instance (id, host, pid, version, epoch) values (new_id, new_host, new_pid, new_version, known_epoch);
  -- Before the row becomes visible, so that the instance is not taken for dead.
  perform pg_advisory_lock({presence}, new_id);
  perform set_config('typeorm_maintenance.instance_{presence}', new_id::text, false);
  update {schema}.window set instance = new_id, host = new_host, pid = new_pid
  where position <> 'over' and (id = any (entries) or task = any (entries));
  return new_id;
end $$;
comment on function {schema}.register is
  'Makes the session the watch of an instance until it ends; returns the id. entries are its calls that are entering a mode, and its tasks. former_id is its previous id: the server may not have noticed yet that the old connection is gone.';

create or replace function {schema}.acknowledge(
  own_id integer, known_epoch integer, refusal_count bigint,
  pool_pids integer[], connected_ms double precision[], is_unrestricted boolean[]
)
  returns boolean
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform {schema}.await_no_standby();
  update {schema}.instance set
    epoch = known_epoch, refusals = refusal_count, pool = pool_pids, unrestricted = is_unrestricted, told_at = clock_timestamp(),
    connected = array(
      select clock_timestamp() - ms * interval '1 millisecond' from unnest(connected_ms) with ordinality as c (ms, place) order by place
    )
  where id = own_id;
  return found;
end $$;
comment on function {schema}.acknowledge is
  'Records the state that an instance knows, the number of its refusals, and the work of its backends; returns false if it must register again.';

create or replace function {schema}.ask() returns text
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    -- Not as a timestamp, because with some session settings its text reads as another time.
    select extract(epoch from clock_timestamp())::text from (select pg_notify({channel}, 'tell')) as asked;
  end;
comment on function {schema}.ask is
  'Asks the instances to report the work of their backends again; returns the time of the request.';

create or replace function {schema}.untold(asked_at text, known_epoch integer) returns bigint
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select count(*) from {schema}.instance where extract(epoch from told_at) < asked_at::numeric and epoch >= known_epoch and id in (select {schema}.live());
  end;
comment on function {schema}.untold is
  'Returns the number of live instances that know an epoch and have not reported since they were asked.';

create or replace function {schema}.backends()
  returns table (
    pid integer, instance integer, host text, instance_pid integer, epoch integer, connected_ms double precision,
    is_unrestricted boolean
  )
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select p.pid, i.id, i.host, i.pid, i.epoch, extract(epoch from clock_timestamp() - p.connected)::double precision * 1000,
      p.is_unrestricted
    from {schema}.instance i, unnest(i.pool, i.connected, i.unrestricted) as p (pid, connected, is_unrestricted)
    where i.id in (select {schema}.live());
  end;
comment on function {schema}.backends is
  'Returns the backends of the live instances, according to their last reports.';

create or replace function {schema}.instances()
  returns table (id integer, host text, pid integer, version text, since timestamptz, epoch integer, refusals bigint)
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select i.id, i.host, i.pid, i.version, i.since, i.epoch, i.refusals
    from {schema}.instance i
    where i.id in (select {schema}.live())
    order by i.id;
  end;
comment on function {schema}.instances is 'Returns the live instances.';

create or replace function {schema}.is_live(instance_id integer) returns boolean
  language sql
  set search_path = pg_catalog, pg_temp
  return case
    when instance_id = ({schema}.own_instance()).id then true
    -- No session holds the lock. Searching all locks, as live() does, takes a hundred times as long.
    when pg_try_advisory_lock_shared({presence}, instance_id) then not pg_advisory_unlock_shared({presence}, instance_id)
    else instance_id is not null
  end;
comment on function {schema}.is_live is
  'Whether the watch of an instance is connected; false for null. Not usable on a replica, which has none of their locks.';

create or replace function {schema}.is_gone(found {schema}.window) returns boolean
  language sql
  set search_path = pg_catalog, pg_temp
  return case when (found).instance is null or pg_is_in_recovery() then false else not {schema}.is_live((found).instance) end;
comment on function {schema}.is_gone is
  'Whether the process that enters a window, or runs its task, is gone, permanently or briefly. False where instances are not known.';
