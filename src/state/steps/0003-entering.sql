-- Can be run again, to put back what was lost. How a mode is entered: what was running is waited for.

create table if not exists {schema}.entering (
  only_row boolean primary key default true check (only_row),
  epoch integer not null,
  instance integer,
  deadline timestamptz not null,
  outcome text not null check (outcome in ('proceed', 'cancel', 'terminate', 'abandon')),
  previous jsonb not null
);
comment on table {schema}.entering is
  'The window that is being entered, if its epoch is that of the state: by which instance, until when what was running is waited for, what is done then, and the state to go back to.';

create or replace function {schema}.start_entering(
  new_mode text, acting_user text, is_emergency boolean, new_reason text, new_task text, within_task text,
  expires_in_ms double precision, new_lease text, own_instance integer, within_ms double precision, new_outcome text
)
  returns table (previous jsonb, current_epoch integer)
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  entered record;
begin
  select * into entered from {schema}.enter(new_mode, acting_user, is_emergency, new_reason, new_task, within_task, expires_in_ms, new_lease);
  insert into {schema}.entering as e (epoch, instance, deadline, outcome, previous)
  values (entered.current_epoch, own_instance, clock_timestamp() + within_ms * interval '1 millisecond', new_outcome, entered.previous)
  on conflict (only_row) do update set
    epoch = excluded.epoch, instance = excluded.instance, deadline = excluded.deadline, outcome = excluded.outcome,
    previous = excluded.previous;
  return query select entered.previous, entered.current_epoch;
end $$;
comment on function {schema}.start_entering is
  'As enter(), and says that what was running is waited for. The caller commits, waits, and calls end_entering() or abandon().';

create or replace function {schema}.end_entering(entered_epoch integer) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    delete from {schema}.entering where epoch = entered_epoch;
  end;
comment on function {schema}.end_entering is 'Says that nothing of what was running is left to wait for.';

create or replace function {schema}.abandon(entered_epoch integer, acting_user text, is_emergency boolean) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  state {schema}.state;
  before {schema}.state;
begin
  state := {schema}.lock_state();
  select e.* into before from {schema}.entering, jsonb_populate_record(null::{schema}.state, entering.previous) e
  where entering.epoch = entered_epoch;
  if state.epoch is distinct from entered_epoch or before.mode is null then
    perform {schema}.refuse(state, 'lost');
  end if;
  if not {schema}.is_admitted(state, acting_user, is_emergency) then
    perform {schema}.refuse(state, 'stranger');
  end if;
  delete from {schema}.entering;
  update {schema}.state s set
    epoch = s.epoch + 1, mode = before.mode, maintainer = before.maintainer, reason = before.reason,
    since = before.since, task = before.task, lease = before.lease,
    -- Put off meanwhile, if it is tied to a process.
    expires_at = case when before.lease = state.lease then state.expires_at else before.expires_at end;
  perform pg_notify({channel}, (state.epoch + 1)::text);
  return state.epoch + 1;
end $$;
comment on function {schema}.abandon is 'Puts back what there was before the window that is being entered.';

create or replace function {schema}.entering()
  returns table (epoch integer, instance integer, deadline timestamptz, outcome text, is_live boolean)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    select e.epoch, e.instance, e.deadline, e.outcome, coalesce(e.instance in (select {schema}.live()), clock_timestamp() <= e.deadline)
    from {schema}.entering e join {schema}.state s on s.epoch = e.epoch;
  end;
comment on function {schema}.entering is
  'The window that is being entered, and whether who enters it is there to wait; if not, the window stands.';

create or replace function {schema}.come_again(former_id integer, new_id integer) returns void
  language sql security definer
  set search_path = pg_catalog, pg_temp
  begin atomic
    update {schema}.entering set instance = new_id where instance = former_id;
  end;
comment on function {schema}.come_again is 'An instance whose watch was cut off has another id now.';
