import type { Client } from "pg"
import { isEmergency, users } from "./actions"

/** The database's view of the windows, for comparison with the model. */
export interface Snapshot {
  readonly state: Record<string, unknown> & {
    window_id: string | null
    epoch: number
    stamp: number
    expires_at: string | null
  }
  /** Whether the state is the projection of the window in force, or has expired. */
  readonly isProjected: boolean
  readonly hasStamp: boolean
  /** The result of `status()`. */
  readonly status: { mode: string; maintainer: string | null; reason: string | null }
  /** The result of `windows()`, in order. */
  readonly windows: Row[] | null
  /** The ends of past windows: the reason and the user. */
  readonly over: Record<string, string> | null
  /** The refusal of each user by the fence, after a write. Null: the write commits. */
  readonly fence: Record<string, string | null>
}

/** A window that is not over. Times are in hours from now. */
export interface Row {
  readonly id: string
  readonly position: string
  readonly mode: string
  readonly maintainer: string
  readonly reason: string | null
  readonly task: string | null
  /** The time at which it began or will begin. */
  readonly since: number
  /** The time at which the maintainer expects to be done. */
  readonly planned: number | null
  readonly expires: number | null
  readonly latest: number | null
  readonly lease: string | null
  readonly grace: number | null
  readonly instance: number | null
}

/** The database objects that a story needs. `pass` has the effect of waiting, except on the stamp. */
export const helpers = `create schema story;
create table story.beginning (at timestamptz);
insert into story.beginning values (clock_timestamp());
create function story.ms(hours integer) returns bigint language sql
  return (select maintenance.unix_ms(at + hours * interval '1 hour') from story.beginning);
create function story.pass(hours integer) returns void language plpgsql as $$
declare
  t interval := hours * interval '1 hour';
begin
  update maintenance.window set since = since - t, begun_at = begun_at - t, entered_at = entered_at - t, expires_at = expires_at - t,
    starts_at = starts_at - t, planned_at = planned_at - t, latest = latest - t, deadline = deadline - t where position <> 'over';
  update maintenance.state set since = since - t, planned_at = planned_at - t, expires_at = expires_at - t, latest = latest - t;
end $$;
create function story.refusal_of(acting_user text, is_emergency boolean) returns text language plpgsql as $$
begin
  perform pg_current_xact_id();
  perform maintenance.fence(acting_user, is_emergency);
  return null;
exception when others then
  return sqlstate;
end $$;
create function story.hours(at timestamptz) returns integer language sql
  return round(extract(epoch from at - clock_timestamp()) / 3600)::integer;`

/** Removes all windows. */
export const emptied = `delete from maintenance.window;
delete from maintenance.change;
delete from maintenance.instance;
alter sequence maintenance.instance_id restart;
update story.beginning set at = clock_timestamp();
update maintenance.state set epoch = 1, mode = 'normal', maintainer = null, reason = null, message = null, since = null, planned_at = null,
  expires_at = null, latest = null, lease = null, grace_ms = null, readers = null, window_id = null, made_by = null;`

const fences = users.map((user) => `'${user}', story.refusal_of('${user}', ${isEmergency(user)})`).join(", ")

const look = `select json_build_object(
  'state', to_jsonb(s),
  'isProjected', coalesce(s.expires_at <= clock_timestamp(), false)
    or maintenance.state_in(s, maintenance.in_force()) is not distinct from s,
  'hasStamp', s.stamp = pg_sequence_last_value('maintenance.stamp'),
  'status', (select row_to_json(t) from (select mode, maintainer, reason from maintenance.status()) t),
  'windows', (select json_agg(json_build_object('id', w.id, 'position', w.position, 'mode', w.mode, 'maintainer', w.maintainer,
    'reason', w.reason, 'task', w.task, 'since', story.hours(coalesce(w.since, w.starts_at)), 'planned', story.hours(w.planned_at), 'expires', story.hours(w.expires_at),
    'latest', story.hours(w.latest), 'lease', w.lease, 'grace', w.grace_ms / 3600000, 'instance', w.instance) order by v.place)
    from (select id, row_number() over () as place from maintenance.windows()) v
    join maintenance.window w on w.id = v.id),
  -- A process whose windows of an earlier story are gone notes them as replaced.
  'over', (select json_object_agg(id, ended_because || coalesce(' by ' || ended_by, '')) from maintenance.window where position = 'over' and ended_because <> 'replaced'),
  'fence', json_build_object(${fences})
) as found from maintenance.state s`

/** Takes a snapshot. */
export async function snapshot(client: Client): Promise<Snapshot> {
  const { rows } = await client.query<{ found: Snapshot }>(look)
  return (rows[0] as { found: Snapshot }).found
}
