/** A kind of change to an entity that the ORM made and a veto undid. */
export interface RefusedChange {
  /** Name of the entity. */
  readonly entity: string
  /** The attempted operation. */
  readonly operation: "insert" | "update" | "remove" | "soft-remove" | "recover"
}
