import { WriteVetoedError } from "../errors"
import type { RefusedChange } from "../mode/refused-change"
import type { Actor } from "../mode/actor"
import { anybody, restrictionOf } from "../mode/restriction"
import type { StampedState } from "../mode/status"
import { accessRefused, factsOf, writeVetoed } from "../refusal"
import { adviceIn, translateStateError } from "../state/translate"
import type { ResolvedOptions } from "../options"
import { lockKeys } from "../state/schema"
import type { Step } from "../wire/protocol"
import { FencePolicies, type FencePolicy, type PrimaryFence, type Situation } from "./fence-policy"

type Stamped = StampedState & { readonly stamp: string }

/** The checks for one state, by whom they are for. */
interface Checks {
  readonly state: StampedState | undefined
  readonly byActor: Map<string, Step>
}

/** The most actors for whom the checks are kept. */
const maxActors = 1000

/** What is sent to the server to have it decide, and what its answers mean. */
export class Fence implements PrimaryFence {
  readonly mayHold: boolean = true
  readonly #schema: string
  readonly #keys: ReturnType<typeof lockKeys>
  readonly #known: () => StampedState | undefined
  /** Whether a session keeps the checks prepared. */
  readonly isPrepared: boolean
  readonly #doubt: () => void
  #checks: Checks = { state: undefined, byActor: new Map() }
  /** Set while the schema is expected from a migration: until it is there, what only reads may pass. */
  isAwaitingSchema = false
  readonly #policies = new FencePolicies(this)

  /** `known` tells the state, as far as it is known; `doubt` is called when the database has found another one. */
  constructor(
    { schema, preparedStatements }: ResolvedOptions,
    { known, doubt }: { known: () => StampedState | undefined; doubt: () => void },
  ) {
    this.#schema = schema
    this.#keys = lockKeys(schema)
    this.#known = known
    this.#doubt = doubt
    this.isPrepared = preparedStatements
  }

  /** The policy for a connection in a situation, to the primary or to a replica. */
  policy(situation: Situation, isReplica: boolean): FencePolicy {
    return this.#policies.of(situation, isReplica || this.isAwaitingSchema)
  }

  /** Whether everybody may at least read, as far as is known. */
  get isOpen(): boolean {
    const state = this.#known()
    return state === undefined || restrictionOf(state.status, anybody) !== "all"
  }

  /** Refuses early what would be refused anyway: everything of others in exclusive mode. Throws AccessRefusedError. */
  assertAdmitted(actor: Actor): void {
    const state = this.#known()
    if (state === undefined || restrictionOf(state.status, actor) !== "all") return
    const now = performance.now()
    // What has expired by the clock of this process is left to the clock of the database.
    if (state.endsAt !== undefined && state.endsAt <= now) return
    const { retryAfterMs = Number.NaN, expiresAt } = state.status
    const leftMs = Math.ceil(retryAfterMs - (now - state.readAt))
    // A plan that is overdue tells nothing any more.
    const isTold = leftMs > 0 || (leftMs <= 0 && expiresAt !== undefined)
    const left = isTold ? Math.max(0, leftMs) : undefined
    throw accessRefused(factsOf({ ...state.status, retryAfterMs: left }))
  }

  /**
   * The last statement of a transaction. Where the state is known, it calls the fence on a condition: that the database is
   * in another state by now, or that the transaction needs more than this state allows the actor.
   */
  check(actor: Actor): Step {
    const state = this.#known()
    if (this.#checks.state !== state) this.#checks = { state, byActor: new Map() }
    const { byActor } = this.#checks
    const key = `${actor.isEmergency}${actor.user === undefined ? "" : ` ${actor.user}`}`
    let check = byActor.get(key)
    if (!check) {
      if (byActor.size >= maxActors) byActor.clear()
      check = this.#checkIn(state, actor)
      byActor.set(key, check)
    }
    return check
  }

  /** As check(), and calls the fence whatever is known. */
  fullCheck({ user, isEmergency }: Actor): Step {
    return this.#named("fence", `select "${this.#schema}".fence($1, $2)`, [user ?? null, isEmergency])
  }

  /** As check(), for a transaction that is to be prepared. */
  checkToPrepare({ user, isEmergency }: Actor): Step {
    return { text: `select "${this.#schema}".fence_to_prepare($1, $2)`, values: [user ?? null, isEmergency] }
  }

  /** Whether nothing is known in memory, so that the server has to be asked before a statement of a transaction. */
  get isBlind(): boolean {
    return this.#known() === undefined
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
    return {
      text: `select "${this.#schema}".hold($1, $2)::text as epoch`,
      values: [user ?? null, isEmergency],
    }
  }

  /**
   * Gives that share back, or for null whatever share is held. PostgreSQL's own function: it is open to every role that the
   * session may have taken.
   */
  unhold(epoch: number | null): Step {
    if (epoch !== null)
      return { text: `select ${unlockShared}($1, $2)::text as is_unlocked`, values: [this.#keys.hold, epoch] }
    return {
      text:
        `select ${unlockShared}(${this.#keys.hold}, objid::bigint::integer)::text as is_unlocked from pg_catalog.pg_locks ` +
        `where locktype = 'advisory' and classid = ${this.#keys.hold} and objsubid = 2 and granted ` +
        "and pid = pg_catalog.pg_backend_pid()",
      values: [],
    }
  }

  /** Takes note that the database has refused an actor: if the state that is known admits him, it is another one by now. */
  refused(actor: Actor): void {
    const state = this.#known()
    if (state && restrictionOf(state.status, actor) === "none") this.#doubt()
  }

  /** A failure of the statements above as an error of this package, where it is a refusal or the state is unreadable. */
  translate(error: unknown, changes: readonly RefusedChange[]): unknown {
    const translated = translateStateError(error, this.#schema)
    if (!(translated instanceof WriteVetoedError)) return translated
    return writeVetoed({ ...factsOf(translated), cause: translated.cause }, changes, adviceIn(error))
  }

  /** The veto of a statement that cannot be undone at commit, from the veto that its check got. */
  vetoUnchecked(veto: WriteVetoedError, why: string, cause?: unknown): WriteVetoedError {
    return writeVetoed({ ...factsOf(veto), cause: cause ?? veto.cause }, veto.changes, why)
  }

  /** As check(), but needs no schema, and lets whatever changed nothing pass in every mode. */
  checkWrites({ user, isEmergency }: Actor): Step {
    return {
      text: `do $fence$ begin
        if pg_current_xact_id_if_assigned() is null and not (${declaresHoldable}) then
          return;
        elsif to_regprocedure('"${this.#schema}".fence(text, boolean)') is null then
          raise exception using errcode = 'MM009', message = 'the schema is not installed yet';
        end if;
        perform "${this.#schema}".fence(${userLiteral(user)}, ${isEmergency});
      end $fence$`,
      values: [],
    }
  }

  #checkIn(state: StampedState | undefined, actor: Actor): Step {
    const full = this.fullCheck(actor)
    const condition = hasStamp(state) ? this.#conditionIn(state, actor) : undefined
    if (!condition) return full
    // Under other names: the one must never stand in for the other.
    const name = restrictionOf((state as Stamped).status, actor) === "none" ? "gate" : "reader"
    // It returns a row if the fence was called: mostly because the state is another one.
    const called = () => {
      if (this.#known() === state) this.#doubt()
    }
    return { ...this.#named(name, `${full.text} where ${condition}`, full.values), called }
  }

  /** The condition on which the fence is called that this state has for this actor; undefined if it is to be called always. */
  #conditionIn(state: Stamped, actor: Actor): string | undefined {
    const { status, stamp, endsAtMs } = state
    const current = `pg_catalog.pg_sequence_last_value('"${this.#schema}".stamp'::pg_catalog.regclass)`
    // The stamp stays until somebody puts into the row that the window has expired.
    const isOver =
      endsAtMs === undefined
        ? ""
        : `when pg_catalog.clock_timestamp() operator(pg_catalog.>=) pg_catalog.to_timestamp(${endsAtMs / 1000}) then true `
    const isCurrent = `${isOver}when ${current} operator(pg_catalog.=) ${BigInt(stamp)}`
    // The gate is taken first, or the state could change between the look and the commit.
    const restriction = restrictionOf(status, actor)
    if (restriction === "none")
      return `case when ${this.#gateTaken(status)} then true ${isCurrent} then false else true end`
    if (restriction === "all") return undefined
    return `case when pg_catalog.pg_current_xact_id_if_assigned() is not null then true ${isCurrent} then ${declaresHoldable} else true end`
  }

  /** Takes the gate; never true. */
  #gateTaken({ epoch }: StampedState["status"]): string {
    return `pg_catalog.pg_advisory_xact_lock_shared(${this.#keys.gate}, ${epoch}) is null`
  }

  #named(name: string, text: string, values: Step["values"]): Step {
    return { ...(this.isPrepared ? { name: `maintenance_${name}_${this.#schema}` } : {}), text, values }
  }
}

function hasStamp(state: StampedState | undefined): state is Stamped {
  return state?.stamp !== undefined
}

const unlockShared = "pg_catalog.pg_advisory_unlock_shared"
/** Whether the transaction has declared a cursor WITH HOLD, which its COMMIT runs to the end: after all that is sent before. */
const declaresHoldable =
  "exists (select from pg_catalog.pg_cursors where is_holdable and creation_time operator(pg_catalog.>=) pg_catalog.now())"

/** A user as a literal that holds inside the dollar quotes, whatever it is made of, and whatever a backslash means in the session. */
function userLiteral(user: string | undefined): string {
  if (user === undefined) return "null"
  return `convert_from(decode('${Buffer.from(user).toString("hex")}', 'hex'), 'UTF8')`
}
