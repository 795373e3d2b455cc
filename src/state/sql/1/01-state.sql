-- May be run again to recreate missing objects. The state, which every fence reads. {schema} is the quoted
-- schema name; {gate}, {hold} and {presence} are the lock keys derived from that name; {channel} is the
-- quoted name of the notification channel.

create table if not exists {schema}.state (
  only_row boolean primary key default true check (only_row),
  epoch integer not null default 1,
  mode text not null default 'normal' check (mode in ('normal', 'concurrent', 'exclusive')),
  maintainer text,
  reason text,
  message text,
  since timestamptz,
  planned_at timestamptz,
  expires_at timestamptz,
  latest timestamptz,
  lease text,
  grace_ms double precision,
  readers integer,
  window_id text,
  made_by text,
  stamp bigint not null default 0,
  check ((mode = 'normal') = (maintainer is null)),
  check ((mode = 'normal') = (since is null)),
  check ((mode = 'normal') = (window_id is null))
);
comment on table {schema}.state is
  'One row: the state that follows from the window in force, written by project() after each change of a window; only renew() prolongs expires_at itself. epoch counts the changes. window_id is the id of the window. made_by is the name of the change that made the epoch; after a failover that lost the last changes, other changes make the same epochs. stamp distinguishes this state from every other. The other columns are those of the table window.';

-- Owned by the table, so that it does not outlive the state.
create sequence if not exists {schema}.stamp owned by {schema}.state.stamp;
comment on sequence {schema}.stamp is
  'The stamp of the state, visible to every transaction whatever its snapshot; set before the state is committed.';

create or replace function {schema}.stamp_state() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- Random, because a counter would repeat after a restore, or after a failover that lost the last changes.
  new_stamp bigint := floor(random() * 9007199254740991) + 1;
  but_for_expiry {schema}.state;
begin
  if tg_op = 'UPDATE' then
    but_for_expiry := new;
    but_for_expiry.expires_at := old.expires_at;
    -- A window that only lasts longer admits nobody new. Nor does an unchanged state, as after a change of
    -- windows that are not in force. The row is a new version all the same, so that no older snapshot can
    -- share it.
    if but_for_expiry is not distinct from old and (
      new.expires_at > old.expires_at
      or new.expires_at is not distinct from old.expires_at and old.stamp = pg_sequence_last_value('{schema}.stamp')
    ) then
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
comment on function {schema}.stamp_state is
  'Gives every state a stamp of its own. Deleting the state leaves a stamp that no state has.';
create or replace trigger stamp_state before insert or update on {schema}.state
  for each row execute function {schema}.stamp_state();
create or replace trigger stamp_no_state after delete or truncate on {schema}.state
  for each statement execute function {schema}.stamp_state();
alter table {schema}.state enable always trigger stamp_state, enable always trigger stamp_no_state;

insert into {schema}.state (only_row) select true where not exists (select from {schema}.state);
update {schema}.state set epoch = epoch where stamp is distinct from pg_sequence_last_value('{schema}.stamp');
