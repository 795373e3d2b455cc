import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm"

/** The signature of a row: its user, its door, and the attempt, whose name is unique. */
export abstract class Signed {
  @Column()
  attempt!: string

  @Column()
  actor!: string

  @Column()
  door!: string
}

/** A written row. The database adds the transaction id. */
@Entity()
export class Entry extends Signed {
  @PrimaryGeneratedColumn()
  id!: number
}

/** A row that is updated repeatedly. A trigger adds an entry for each update. */
@Entity()
export class Shelf extends Signed {
  @PrimaryColumn()
  id!: number

  @Column()
  stock!: number
}

/** Number of shelves. */
export const shelfCount = 20

/** The user named in `emergencyUsers`. */
export const emergencyUser = "break-glass"

/**
 * The tables of the load. Commits take a moment, as with deferred constraints or synchronous replication. A
 * trigger also records every state, so that the checks need not rely on the plugin's reports.
 */
export const ledgerSql = `
  create table entry (
    id integer generated always as identity primary key,
    attempt text not null, actor text not null, door text not null,
    xid xid8 not null default pg_current_xact_id()
  );
  create index on entry (attempt);
  create index on entry (xid);
  create table shelf (
    id integer primary key, stock integer not null, attempt text not null, actor text not null, door text not null
  );
  insert into shelf select n, 0, 'none', 'nobody', 'none' from generate_series(1, ${shelfCount}) n;
  create function note_change() returns trigger language plpgsql as
    'begin insert into entry (attempt, actor, door) values (new.attempt, new.actor, new.door); return null; end';
  create trigger note_change after update on shelf for each row execute function note_change();
  create function linger() returns trigger language plpgsql as
    'begin perform pg_sleep(random() * 0.01); return null; end';
  create constraint trigger linger after insert on entry deferrable initially deferred
    for each row execute function linger();

  create table history (
    epoch integer not null, at timestamptz not null default clock_timestamp(), mode text not null, maintainer text,
    reason text, expires_at timestamptz, former_epoch integer, former_expires_at timestamptz, former_latest timestamptz, former_lease text
  );
  create index on history (epoch);
  create function note_state() returns trigger language plpgsql as $$
  begin
    if new.epoch is distinct from old.epoch then
      insert into public.history (epoch, mode, maintainer, reason, expires_at, former_epoch, former_expires_at, former_latest, former_lease)
      values (new.epoch, new.mode, new.maintainer, new.reason, new.expires_at, old.epoch, old.expires_at, old.latest, old.lease);
    end if;
    return null;
  end $$;
  create trigger note_state after update on maintenance.state for each row execute function note_state();
`

/** Makes commits take longer, so that leaks are found sooner. */
export const slowCommitsSql = `
  create or replace function linger() returns trigger language plpgsql as
    'begin perform pg_sleep(random() * 0.2); return null; end'`
