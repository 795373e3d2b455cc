import type { Actor } from "../mode/actor"
import type { RefusedStatement } from "../mode/refusal-facts"
import { anybody, restrictionOf } from "../mode/restriction"
import type { StampedState } from "../mode/status"
import { accessRefused, factsOf } from "../refusal"
import { translateStateError } from "../state/translate"
import type { ResolvedOptions } from "../options"
import { ownSqlState } from "../sqlstate"
import { lockKeys } from "../state/schema"
import type { StateView } from "../watch/state-view"
import type { Step } from "../wire/protocol"
import { type FenceChecks, type FencePolicies, policiesOf, type SchemaPresence } from "./fence-policy"
import { PortalClosers } from "./portal-closers"

type Stamped = StampedState & { readonly stamp: string }

/** The checks for one state, by actor. */
interface Checks {
  readonly state: StampedState | undefined
  readonly byActor: Map<string, Step>
}

/** Maximum number of actors for whom checks are cached. */
const maxActors = 1000

/** Builds the statements by which the server decides, and translates its answers. */
export class Fence implements FenceChecks {
  readonly #schema: string
  readonly #keys: ReturnType<typeof lockKeys>
  readonly #state: StateView
  /** Whether a session keeps the checks prepared. */
  readonly isPrepared: boolean
  readonly policies: FencePolicies
  /** The statements that close the portal of their check. */
  readonly portalClosers = new PortalClosers()
  #checks: Checks = { state: undefined, byActor: new Map() }

  constructor(
    { schema, preparedStatements }: ResolvedOptions,
    state: StateView,
    schemaPresence: SchemaPresence,
  ) {
    this.#schema = schema
    this.#keys = lockKeys(schema)
    this.#state = state
    this.isPrepared = preparedStatements
    this.policies = policiesOf(this, schemaPresence)
  }

  /** Whether all users may at least read, as far as is known. */
  get isOpen(): boolean {
    const state = this.#state.known
    return state === undefined || restrictionOf(state.status, anybody) !== "all"
  }

  /** Whether a read may be refused, so that a pool listener that sets up a connection needs an exemption. */
  get mayRefuseReads(): boolean {
    return this.policies.primary.usual.holder.isBlind || !this.isOpen
  }

  /**
   * Refuses other users early in exclusive mode, where the server would refuse them anyway. Throws
   * AccessRefusedError.
   */
  assertAdmitted(actor: Actor): void {
    const state = this.#state.known
    if (state === undefined || restrictionOf(state.status, actor) !== "all") return
    const now = performance.now()
    // If the window has expired by this process's clock, the database's clock decides.
    if (state.endsAt !== undefined && state.endsAt <= now) return
    const { retryAfterMs = Number.NaN, expiresAt } = state.status
    const leftMs = Math.ceil(retryAfterMs - (now - state.readAt))
    // An overdue plan no longer predicts anything.
    const isPredicted = leftMs > 0 || (leftMs <= 0 && expiresAt !== undefined)
    const left = isPredicted ? Math.max(0, leftMs) : undefined
    throw accessRefused(factsOf({ ...state.status, retryAfterMs: left }))
  }

  /**
   * The last statement of a transaction. If the state is known, it calls the fence only on a condition. The
   * database must be in a different state, or the transaction must need more than this state allows the
   * actor.
   */
  check(actor: Actor): Step {
    const state = this.#state.known
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

  /** The check that calls the fence in any case. */
  fullCheck({ user, isEmergency }: Actor): Step {
    return this.#named("fence", `select "${this.#schema}".fence($1, $2)`, [user ?? null, isEmergency])
  }

  /** The check for a transaction that is to be prepared. */
  checkToPrepare({ user, isEmergency }: Actor): Step {
    return { text: `select "${this.#schema}".fence_to_prepare($1, $2)`, values: [user ?? null, isEmergency] }
  }

  /** Whether no state is known, so that the server must be asked before a statement of a transaction. */
  get isBlind(): boolean {
    return this.#state.known === undefined
  }

  /** Raises the refusal of an actor who may not even read. */
  admitReader({ user, isEmergency }: Actor): Step {
    return { text: `select "${this.#schema}".admit_reader($1, $2)`, values: [user ?? null, isEmergency] }
  }

  /** Raises the refusal of a restricted actor, even if nothing was changed. */
  admit({ user, isEmergency }: Actor): Step {
    return { text: `select "${this.#schema}".admit($1, $2)`, values: [user ?? null, isEmergency] }
  }

  /**
   * Takes the share of the gate that outlasts a transaction, for a statement that ends one by itself. The
   * epoch is null for an actor who may only read.
   */
  hold({ user, isEmergency }: Actor): Step {
    return {
      text: `select "${this.#schema}".hold($1, $2)::text as epoch`,
      values: [user ?? null, isEmergency],
    }
  }

  /**
   * Releases that share, or with null any share that is held. It uses PostgreSQL's own function, which every
   * role that the session may have taken can execute.
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

  /** Records that the database has refused an actor. If the known state admits that actor, it is outdated. */
  refused(actor: Actor): void {
    const state = this.#state.known
    if (state && restrictionOf(state.status, actor) === "none") this.#state.doubt()
  }

  /**
   * Translates a failure of these statements into an error of this package, if it is a refusal of the caller's
   * statement or the state is unreadable.
   */
  translate(error: unknown, statement: RefusedStatement): unknown {
    return translateStateError(error, this.#schema, { statement })
  }

  /** The check that needs no schema, and in every mode passes a transaction that changed nothing. */
  checkWrites({ user, isEmergency }: Actor): Step {
    return {
      text: `do $fence$ begin
        if pg_current_xact_id_if_assigned() is null and not (${declaresHoldable}) then
          return;
        elsif to_regprocedure('"${this.#schema}".fence(text, boolean)') is null then
          raise exception using errcode = '${ownSqlState.stateMissing}', message = 'the schema is not installed yet';
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
    // Separate names, because one statement must never stand in for the other.
    const name = restrictionOf((state as Stamped).status, actor) === "none" ? "gate" : "reader"
    // A row means that the fence was called, usually because the database is in a different state.
    const called = () => {
      if (this.#state.known === state) this.#state.doubt()
    }
    return { ...this.#named(name, `${full.text} where ${condition}`, full.values), called }
  }

  /**
   * The condition on which the fence is called, for this state and actor. Undefined if it must always be
   * called.
   */
  #conditionIn(state: Stamped, actor: Actor): string | undefined {
    const { status, stamp, endsAtMs } = state
    const current = `pg_catalog.pg_sequence_last_value('"${this.#schema}".stamp'::pg_catalog.regclass)`
    // The stamp stays the same until the expiry is written to the row.
    const isOver =
      endsAtMs === undefined
        ? ""
        : `when pg_catalog.clock_timestamp() operator(pg_catalog.>=) pg_catalog.to_timestamp(${endsAtMs / 1000}) then true `
    const isCurrent = `${isOver}when ${current} operator(pg_catalog.=) ${BigInt(stamp)}`
    const restriction = restrictionOf(status, actor)
    // The gate comes first, or the state could change between this check and the commit.
    if (restriction === "none")
      return `case when ${this.#gateTaken(status)} then true ${isCurrent} then false else true end`
    if (restriction === "all") return undefined
    return `case when pg_catalog.pg_current_xact_id_if_assigned() is not null then true ${isCurrent} then ${declaresHoldable} else true end`
  }

  /** Takes the gate. The expression is never true. */
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
/**
 * Whether the transaction has declared a cursor WITH HOLD. Its COMMIT runs that to the end, after everything
 * sent before.
 */
const declaresHoldable =
  "exists (select from pg_catalog.pg_cursors where is_holdable and creation_time operator(pg_catalog.>=) pg_catalog.now())"

/**
 * A user as a literal inside the dollar quotes. It is independent of the characters of the name, and of what
 * a backslash means in the session.
 */
function userLiteral(user: string | undefined): string {
  if (user === undefined) return "null"
  return `convert_from(decode('${Buffer.from(user).toString("hex")}', 'hex'), 'UTF8')`
}
