-- Can be run again, to put back what was lost. The state: what every fence looks at. {schema} is the quoted schema name, {gate}, {hold}
-- and {presence} are the lock keys made from that name, {channel} is the quoted name of the notification channel.

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
  'One row: what the window that is in force comes to, written by project() after each change of a window. Epoch counts the changes, window_id names the window, made_by is the name of the change that brought the epoch (after a failover that lost the last changes, others make the same epochs), stamp names this state among all that ever were; the other columns are as in the table window.';

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
  if tg_op = 'UPDATE' then
    but_for_expiry := new;
    but_for_expiry.expires_at := old.expires_at;
    -- A window that is only to stand for longer admits nobody who was not admitted before; nor does the same state, as when windows have
    -- changed that are not in force: but the row is another, so that no older snapshot can share it.
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
comment on function {schema}.stamp_state is 'Gives every state a stamp of its own; a state that is deleted leaves one that none has.';
create or replace trigger stamp_state before insert or update on {schema}.state
  for each row execute function {schema}.stamp_state();
create or replace trigger stamp_no_state after delete or truncate on {schema}.state
  for each statement execute function {schema}.stamp_state();
alter table {schema}.state enable always trigger stamp_state, enable always trigger stamp_no_state;

insert into {schema}.state (only_row) select true where not exists (select from {schema}.state);
update {schema}.state set epoch = epoch where stamp is distinct from pg_sequence_last_value('{schema}.stamp');
