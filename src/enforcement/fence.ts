import { WriteVetoedError, type RefusedChange } from "../errors"
import { isAdmitted, type Actor, type StampedState } from "../mode/mode"
import { accessRefused, factsOf, isUnreadable, translateStateError, writeVetoed } from "../state/refusal"
import type { ResolvedOptions } from "../options"
import { lockKeys } from "../state/schema"
import type { Step } from "../wire/protocol"
import { codeOf } from "./request"

type Stamped = StampedState & { readonly stamp: string }

/** The steps for one state, as far as they were asked for. */
interface Steps {
  readonly state: StampedState | undefined
  quick?: Step
  quickRead?: Step
  /** The last full check, for its actor: mostly the next is for the same. */
  check?: Step & { readonly actor: Actor }
}

/** What is sent to the server to have it decide, and what its answers mean. */
export class Fence {
  readonly #schema: string
  readonly #keys: ReturnType<typeof lockKeys>
  readonly #known: () => StampedState | undefined
  /** Whether a session keeps the checks prepared. */
  readonly isPrepared: boolean
  #steps: Steps = { state: undefined }
  #wroteNothing: Step | undefined
  /** Set while the schema is expected from a migration: until it is there, what only reads may pass. */
  isAwaitingSchema = false

  constructor({ schema, preparedStatements }: ResolvedOptions, known: () => StampedState | undefined) {
    this.#schema = schema
    this.#keys = lockKeys(schema)
    this.#known = known
    this.isPrepared = preparedStatements
  }

  /** Whether everybody may at least read, as far as is known. */
  get isOpen(): boolean {
    return this.#known()?.status.mode !== "exclusive"
  }

  /** Refuses early what would be refused anyway: everything of others in exclusive mode. Throws AccessRefusedError. */
  assertAdmitted(actor: Actor): void {
    const state = this.#known()
    if (state?.status.mode !== "exclusive" || isAdmitted(state.status, actor)) return
    const now = performance.now()
    // What has expired by the clock of this process is left to the clock of the database.
    if (state.endsAt !== undefined && state.endsAt <= now) return
    const { retryAfterMs } = state.status
    const leftMs =
      retryAfterMs === undefined ? undefined : Math.max(0, Math.ceil(retryAfterMs - (now - state.readAt)))
    throw accessRefused(factsOf({ ...state.status, retryAfterMs: leftMs }))
  }

  /**
   * A check that costs the server next to nothing: whether it is in the state that is known here, which admits the actor
   * (or lets him read, where a statement looks as if it only reads). If it fails, for whatever reason, nothing is
   * decided, and the full check is to be made; undefined where that would be the outcome.
   */
  quickCheck(actor: Actor, looksReadOnly: boolean): Step | undefined {
    const state = this.#known()
    if (!hasStamp(state) || this.isAwaitingSchema) return undefined
    const steps = this.#stepsFor(state)
    if (isAdmitted(state.status, actor))
      return (steps.quick ??= this.#quick("gate", state, this.#gateTaken(state)))
    if (state.status.mode !== "concurrent" || !looksReadOnly) return undefined
    return (steps.quickRead ??= this.#quick("reader", state, readOnlyFromHere))
  }

  /** Whether a quick check is that of somebody who may only read. */
  isForReaders(quick: Step): boolean {
    return quick === this.#steps.quickRead
  }

  /** Whether the failure of a quick check leaves open what the full one says, and is nobody's intention. */
  isUndecided(error: unknown): boolean {
    return codeOf(error) === failureCode || isUnreadable(error)
  }

  /** A quick check that only looks whether something was written, and needs no schema. */
  get wroteNothing(): Step {
    return (this.#wroteNothing ??= this.#named("replica", `select ${failure} where ${readOnlyFromHere}`, []))
  }

  /** The last statement of a transaction. */
  check(actor: Actor): Step {
    if (this.isAwaitingSchema) return this.checkWrites(actor)
    const state = this.#known()
    const steps = this.#stepsFor(state)
    if (steps.check?.actor.user !== actor.user || steps.check?.actor.isEmergency !== actor.isEmergency) {
      steps.check = { actor, ...this.#fullCheck(state, actor) }
    }
    return steps.check
  }

  /** As check(), for a transaction that is to be prepared. */
  checkToPrepare({ user, isEmergency }: Actor): Step {
    if (this.isAwaitingSchema) return this.checkWrites({ user, isEmergency })
    return { text: `select "${this.#schema}".fence_to_prepare($1, $2)`, values: [user ?? null, isEmergency] }
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

  /**
   * Gives that share back, or for null whatever share is held. PostgreSQL's own function: it is open to every role that the
   * session may have taken.
   */
  unhold(epoch: number | null): Step {
    if (epoch !== null)
      return { text: `select ${unlockShared}($1, $2) as is_unlocked`, values: [this.#keys.hold, epoch] }
    return {
      text:
        `select ${unlockShared}(${this.#keys.hold}, objid::bigint::integer) as is_unlocked from pg_catalog.pg_locks ` +
        `where locktype = 'advisory' and classid = ${this.#keys.hold} and objsubid = 2 and granted ` +
        "and pid = pg_catalog.pg_backend_pid()",
      values: [],
    }
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

  #stepsFor(state: StampedState | undefined): Steps {
    if (this.#steps.state !== state) this.#steps = { state }
    return this.#steps
  }

  #quick(name: string, state: Stamped, condition: string): Step {
    return this.#named(name, `select ${failure} where ${this.#changedAfter(condition, state)}`, [])
  }

  #fullCheck(state: StampedState | undefined, { user, isEmergency }: Actor): Step {
    const call = `select "${this.#schema}".fence($1, $2)`
    const values = [user ?? null, isEmergency]
    // Without the call, which costs more than all the rest, where the state is known to admit the actor.
    const isKnown = hasStamp(state) && isAdmitted(state.status, { user, isEmergency })
    if (!isKnown) return this.#named("fence", call, values)
    // Under another name: the one must never stand in for the other.
    return this.#named("commit", `${call} where ${this.#changedAfter(this.#gateTaken(state), state)}`, values)
  }

  /** True unless the server is in this state after the condition, which is evaluated first, has turned out false. */
  #changedAfter(condition: string, { stamp }: Stamped): string {
    const current = `pg_catalog.pg_sequence_last_value('"${this.#schema}".stamp'::pg_catalog.regclass)`
    return `case when ${condition} then true when ${current} operator(pg_catalog.=) ${BigInt(stamp)} then false else true end`
  }

  /** Takes the gate; never true. */
  #gateTaken({ status }: StampedState): string {
    return `pg_catalog.pg_advisory_xact_lock_shared(${this.#keys.gate}, ${status.epoch}) is null`
  }

  #named(name: string, text: string, values: Step["values"]): Step {
    return { ...(this.isPrepared ? { name: `maintenance_${name}_${this.#schema}` } : {}), text, values }
  }
}

function hasStamp(state: StampedState | undefined): state is Stamped {
  return state?.stamp !== undefined
}

const unlockShared = "pg_catalog.pg_advisory_unlock_shared"
/** A call that fails, and says in the server's log why there is a failure. */
const failure = "pg_catalog.format('the maintenance mode has changed meanwhile, or this wrote %')"
const failureCode = "22023"
/** True if something was changed; if not, nothing can be any more, not even by what a COMMIT still has to run. */
const readOnlyFromHere =
  "pg_catalog.set_config('transaction_read_only', 'on', true) is null or " +
  "pg_catalog.pg_current_xact_id_if_assigned() is not null"

/** A user as a literal that holds inside the dollar quotes, whatever it is made of: only hexadecimal digits. */
function userLiteral(user: string | undefined): string {
  if (user === undefined) return "null"
  return `convert_from('\\x${Buffer.from(user).toString("hex")}', 'UTF8')`
}
