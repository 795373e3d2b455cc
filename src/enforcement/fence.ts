import { WriteVetoedError, type RefusedChange } from "../errors"
import { isAdmitted, type Actor, type MaintenanceStatus } from "../mode/mode"
import { accessRefused, factsOf, translateStateError, writeVetoed } from "../state/refusal"
import type { ResolvedOptions } from "../options"
import { lockKeys } from "../state/schema"
import type { Step } from "../wire/protocol"

/** What is sent to the server to have it decide, and what its answers mean. */
export class Fence {
  readonly #schema: string
  readonly #holdKey: number
  readonly #known: () => MaintenanceStatus | undefined
  readonly #fence: Pick<Step, "name" | "text">
  /** Set while the schema is expected from a migration: until it is there, what only reads may pass. */
  isAwaitingSchema = false

  constructor({ schema, preparedStatements }: ResolvedOptions, known: () => MaintenanceStatus | undefined) {
    this.#schema = schema
    this.#holdKey = lockKeys(schema).hold
    this.#known = known
    // What only reads is spared the call, unless the mode is exclusive.
    this.#fence = {
      ...(preparedStatements ? { name: `maintenance_fence_${schema}` } : {}),
      text:
        `select "${schema}".fence($1, $2) where pg_current_xact_id_if_assigned() is not null ` +
        `or (select mode from "${schema}".state) = 'exclusive' or exists (select from pg_cursors where is_holdable)`,
    }
  }

  /** Refuses early what would be refused anyway: everything of others in exclusive mode. Throws AccessRefusedError. */
  assertAdmitted(actor: Actor): void {
    const status = this.#known()
    if (status?.mode === "exclusive" && !isAdmitted(status, actor)) throw accessRefused(factsOf(status))
  }

  /** The last statement of a transaction. */
  check({ user, isEmergency }: Actor): Step {
    if (this.isAwaitingSchema) return this.checkWrites({ user, isEmergency })
    return { ...this.#fence, values: [user ?? null, isEmergency] }
  }

  /** Whether nothing is known in memory, so that the server has to be asked before a statement of a transaction. */
  get isBlind(): boolean {
    return !this.isAwaitingSchema && this.#known() === undefined
  }

  /** Raises the refusal of whoever may not even read. */
  admitReader({ user, isEmergency }: Actor): Step {
    return { text: `select "${this.#schema}".admit_reader($1, $2)`, values: [user ?? null, isEmergency] }
  }

  /** Raises the refusal of whoever is restricted, also if nothing was changed. */
  admit({ user, isEmergency }: Actor): Step {
    return { text: `select "${this.#schema}".admit($1, $2)`, values: [user ?? null, isEmergency] }
  }

  /**
   * Takes the share of the gate that outlasts a transaction, for a statement that ends one by itself. The epoch is null
   * for who may only read.
   */
  hold({ user, isEmergency }: Actor): Step {
    return { text: `select "${this.#schema}".hold($1, $2) as epoch`, values: [user ?? null, isEmergency] }
  }

  /** Gives that share back. PostgreSQL's own function: it is open to every role that the session may have taken. */
  unhold(epoch: number): Step {
    return { text: "select pg_advisory_unlock_shared($1, $2) as is_unlocked", values: [this.#holdKey, epoch] }
  }

  /** A failure of the statements above as an error of this package, where it is a refusal or the state is unreadable. */
  translate(error: unknown, changes: readonly RefusedChange[]): unknown {
    const translated = translateStateError(error, this.#schema)
    return translated instanceof WriteVetoedError ? writeVetoed(translated, changes) : translated
  }

  /** The veto of a statement that cannot be undone at commit, from the veto that its check got. */
  vetoUnchecked(veto: WriteVetoedError, why: string, cause?: unknown): WriteVetoedError {
    return writeVetoed({ ...factsOf(veto), cause: cause ?? veto.cause }, veto.changes, why)
  }

  /** As check(), but needs no schema, and lets whatever changed nothing pass in every mode. */
  checkWrites({ user, isEmergency }: Actor): Step {
    return {
      text: `do $fence$ begin
        if pg_current_xact_id_if_assigned() is null then
          return;
        elsif to_regprocedure('"${this.#schema}".fence(text, boolean)') is null then
          raise exception using errcode = 'MM009', message = 'the schema is not installed yet';
        end if;
        perform "${this.#schema}".fence(${userLiteral(user)}, ${isEmergency});
      end $fence$`,
      values: [],
    }
  }
}

/** A user as a literal that holds inside the dollar quotes, whatever it is made of: only hexadecimal digits. */
function userLiteral(user: string | undefined): string {
  if (user === undefined) return "null"
  return `convert_from('\\x${Buffer.from(user).toString("hex")}', 'UTF8')`
}
