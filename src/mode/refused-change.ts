/** A kind of change to an entity that the ORM made and a veto undid. */
export interface RefusedChange {
  /** The entity's name. */
  readonly entity: string
  /** What was to be done with it. */
  readonly operation: "insert" | "update" | "remove" | "soft-remove" | "recover"
}
