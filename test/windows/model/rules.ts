import type { Model } from "./model"
import { lost, Refusal } from "./refusals"
import type { Mode } from "./window"

/** The request that the plugin passes to `start_entering()`. */
interface Request {
  readonly id: string
  readonly mode: Mode
  readonly acting_user: string
  readonly is_emergency: boolean
  readonly reason?: string
  readonly task?: string
  readonly within_task?: string
  readonly instance?: number
  readonly expires_in_ms?: number
  readonly planned_in_ms?: number
}

type Rule = (model: Model, values: readonly unknown[]) => unknown

const hoursOf = (ms: unknown) => (ms === undefined ? null : (ms as number) / 3_600_000)
const actorOf = ([user, isEmergency]: readonly unknown[]) => ({
  user: user as string,
  isEmergency: isEmergency as boolean,
})

/** The rules for the database functions that the plugin calls. */
export const rules: Readonly<Record<string, Rule>> = {
  start_entering: (model, [given]) => {
    const request = given as Request
    model.start({
      ...{ id: request.id, mode: request.mode, ...actorOf([request.acting_user, request.is_emergency]) },
      ...{ reason: request.reason ?? null, task: request.task ?? null, within: request.within_task ?? null },
      ...{ instance: request.instance ?? null, hours: hoursOf(request.expires_in_ms) },
      ...{ planned: hoursOf(request.planned_in_ms) },
      ...{ lease: null, grace: null, unties: false },
    })
  },
  waited_for: (model, [, name]) => {
    if (!model.stands(name as string)) throw new Refusal(lost)
  },
  end_entering: (model, [, id]) => model.end(id as string),
  abandon: (model, [, id, ...actor]) => model.abandon(id as string, actorOf(actor)),
  interrupt_entering: (model, [id]) => model.interrupt(id as string),
  finish: (model, [task]) => model.finish(task as string),
  leave: (model, [user, isEmergency, name]) => model.leave(actorOf([user, isEmergency]), name as string),
  extend: (model, [user, isEmergency, ms, name]) =>
    model.extend(actorOf([user, isEmergency]), hoursOf(ms), name as string),
  transfer: (model, [user, isEmergency, to, name]) =>
    model.transfer(actorOf([user, isEmergency]), to as string, name as string),
}
