-- May be run again to recreate missing objects. The windows and their changes.

create table if not exists {schema}.window (
  id text primary key,
  place bigint not null generated always as identity,
  position text not null check (position in ('announced', 'entering', 'standing', 'over')),
  mode text not null check (mode in ('concurrent', 'exclusive')),
  maintainer text not null check (length(maintainer) between 1 and 200),
  reason text check (length(reason) between 1 and 1000),
  message text check (length(message) between 1 and 2000),
  task text,
  is_given_up boolean not null default false,
  starts_at timestamptz,
  request jsonb,
  since timestamptz,
  begun_at timestamptz,
  entered_at timestamptz,
  planned_at timestamptz,
  terms text,
  expires_at timestamptz,
  latest timestamptz,
  lease text,
  grace_ms double precision,
  readers integer check (readers > 0),
  replaces text[] not null default '{}',
  instance integer,
  host text,
  pid integer,
  is_awaited boolean not null default false,
  deadline timestamptz,
  outcome text,
  progress jsonb,
  ended_at timestamptz,
  ended_because text check (ended_because in (
    'left', 'expired', 'switched', 'taken over', 'handed over', 'abandoned', 'lost', 'replaced', 'cancelled', 'missed'
  )),
  ended_by text,
  check (position = 'announced' or (since, begun_at, terms) is not null or position = 'over' and begun_at is null),
  check ((position = 'announced') <= (starts_at is not null)),
  check ((position = 'over') = (ended_at is not null)),
  check ((position = 'over') = (ended_because is not null)),
  check ((lease is null) = (grace_ms is null)),
  check (expires_at is not null or (lease, latest) is null)
);
comment on table {schema}.window is
  'One row for each window. In force is the one with the highest place that is entering or standing and has not expired. id is the name of the call that made it. task is the during() for which it was opened; is_given_up tells that the process of that task will not return. request is what to enter at starts_at, if the window was announced. since is the start of the maintenance to which it belongs, begun_at the start of this window, and entered_at the end of its drain. planned_at is when the maintainer expects to be done. Windows with the same terms (the id of the first one) are extended together. expires_at is when it ends by itself. lease names the process that renews it by grace_ms while it lives, but not beyond latest. readers is the number of connections of each instance that other users may use. replaces lists the windows that are over once this one is entered. instance, host and pid identify the process that enters it, runs its task, or has announced it. is_awaited tells whether that process waits for the drain; deadline is when the drain is over; it also limits the wait where instances are not known. outcome is what becomes of the transactions that are open then. progress is what the maintainer last reported of the work: done, total, note and at_ms.';
create unique index if not exists window_place on {schema}.window (place) where position <> 'over';
create index if not exists window_ended on {schema}.window (ended_at, place) where position = 'over';
create index if not exists window_task on {schema}.window (task) where task is not null;

create table if not exists {schema}.change (
  name text primary key default gen_random_uuid()::text,
  kind text not null,
  window_id text,
  epoch integer,
  at timestamptz not null default clock_timestamp(),
  made_by text,
  is_emergency boolean,
  instance integer,
  host text,
  pid integer,
  database_user text not null default session_user,
  application text not null default current_setting('application_name')
);
comment on table {schema}.change is
  'The changes of windows that users or processes have made, not what follows from the clock. Each window that changes has a row; of several that are extended, only the last one in force. window_id is the window, kind is what happened. made_by is the user, or null if a process made the change for no user; is_emergency may be null where only a part of a change is recorded. instance, host and pid identify the process, or the session if it is not an instance. epoch is the epoch that the change made, or null. A caller that received no answer asks again by name, and the change is not made twice. A change that was given up has the kind "void" and is no longer made.';
create index if not exists change_at on {schema}.change (at);
create index if not exists change_window on {schema}.change (window_id);
