import type { Broadcaster } from "typeorm/subscriber/Broadcaster.js"
import type { RefusedChange } from "../mode/refused-change"

/** The changes that the ORM made and nobody has committed yet, each kind once. */
export type RecordedChanges = Map<string, RefusedChange>

/** TypeORM's events before a change, and what the change is. */
const changeEvents = {
  broadcastBeforeInsertEvent: "insert",
  broadcastBeforeUpdateEvent: "update",
  broadcastBeforeRemoveEvent: "remove",
  broadcastBeforeSoftRemoveEvent: "soft-remove",
  broadcastBeforeRecoverEvent: "recover",
} as const

type BroadcasterClass = new (queryRunner: never) => Broadcaster
type Broadcast = (result: unknown, metadata: { name: string }, ...rest: unknown[]) => void

/** A broadcaster that also records the changes that it tells of. */
export interface RecordingBroadcaster extends Broadcaster {
  readonly changes: RecordedChanges
}

/**
 * Makes the class of broadcasters that record changes, as a subclass of TypeORM's: a subscriber would make TypeORM recompute
 * every entity it saves.
 */
export function recordingBroadcasterClass(
  Base: BroadcasterClass,
): new (queryRunner: never) => RecordingBroadcaster {
  class Recording extends Base {
    readonly changes: RecordedChanges = new Map()
  }
  const original = Base.prototype as unknown as Record<keyof typeof changeEvents, Broadcast>
  for (const [event, operation] of Object.entries(changeEvents)) {
    const broadcast = original[event as keyof typeof changeEvents]
    Object.defineProperty(Recording.prototype, event, {
      value(this: Recording, result: unknown, metadata: { name: string }, ...rest: unknown[]) {
        this.changes.set(`${operation} ${metadata.name}`, { entity: metadata.name, operation })
        broadcast.call(this, result, metadata, ...rest)
      },
    })
  }
  return Recording
}
