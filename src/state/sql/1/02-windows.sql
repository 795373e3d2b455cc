-- Can be run again, to put back what was lost. The windows, and the changes that made them what they are.

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
  'A row a window. The last by its place that is entering or standing, and has not expired, is in force. The id is the name of the call that made it; task names the during() that it was opened for, is_given_up says that the process of that will not come back; request is what was to be entered at starts_at, if it was announced; since is when the maintenance began, of which this window is a part, begun_at when this window did, entered_at when nothing of others was waited for any more; planned_at is when the maintainer expects to be done; windows with the same terms (the id of the first) are extended together; expires_at is when it ends by itself, lease names the process that has that put off by grace_ms as long as it lives, but not beyond latest; readers is how many connections of an instance others may use; replaces names the windows that are over when this one is entered; instance, host and pid tell the process that enters it, runs its task, or has announced it, is_awaited whether it waits for what was running, and deadline until when at most, where nobody can tell whether it lives.';
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
  'The changes of windows: of which (the last that is in force, if of several), as what, by whom, from which instance and process (those of the session, if it is none), and the epoch that each made (null if it made none). Who has not heard the answer to a change asks again by its name, and it is not made twice; a change that was given up is of the kind "void", and is not made any more.';
create index if not exists change_at on {schema}.change (at);
create index if not exists change_window on {schema}.change (window_id);
