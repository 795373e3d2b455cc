import type { Client } from "pg"

/** A mistake in the SQL: a line of a function, and its replacement. */
export interface Variant {
  readonly name: string
  readonly function: string
  readonly line: string
  readonly instead: string
}

/** Mistakes that a comparison with the rules must find. */
export const variants: readonly Variant[] = [
  {
    name: "finish() that ends all windows",
    function: "finish",
    line: "where w.task = done_task and w.position in ('entering', 'standing'));",
    instead: "where w.position in ('entering', 'standing'));",
  },
  {
    name: "extend() that ignores windows with the same terms",
    function: "extend",
    line: "terms = (select w.terms from maintenance.window w where w.id = state.window_id)",
    instead: "id = state.window_id",
  },
  {
    name: "a task that forgets the window beneath it",
    function: "start_entering",
    line: "if not is_new_task then\n    select array_agg",
    instead:
      "entered.replaces := array(select w.id from maintenance.window w where w.position in ('entering', 'standing'));\n" +
      "  if not is_new_task then\n    select array_agg",
  },
  {
    name: "a second task that is not refused",
    function: "assert_one_task",
    line: "if last.maintainer = acting_user",
    instead: "if false and last.maintainer = acting_user",
  },
  {
    name: "leave() that takes effect twice if it is repeated",
    function: "leave",
    line: "if maintenance.made(change_name) then",
    instead: "if false then",
  },
  {
    name: "a window that outlasts its expiry until it is read",
    function: "as_of_now",
    line: "elsif state.expires_at <= clock_timestamp() then",
    instead: "elsif false then",
  },
  {
    name: "announced windows that may overlap",
    function: "announce",
    line: "and tstzrange(w.starts_at, maintenance.end_of(w)) &&",
    instead: "and 'empty'::tstzrange &&",
  },
  {
    name: "a switch that does not say who ended the former window",
    function: "end_entering",
    line: "perform maintenance.settle(entered_id, state.maintainer);",
    instead: "perform maintenance.settle(entered_id, null);",
  },
  {
    name: "extend() that leaves a plan beyond the end",
    function: "extend",
    line: "case when planned_at > new_end then new_end else planned_at end",
    instead: "planned_at",
  },
  {
    name: "an announced window that begins late and ends late",
    function: "start_entering",
    line: "when announced.expires_at is not null then announced.expires_at",
    instead: "",
  },
]

/** Introduces a mistake into the database. Resolves with the undo. */
export async function introduce(client: Client, variant: Variant): Promise<() => Promise<unknown>> {
  const text = `select pg_get_functiondef('maintenance.${variant.function}'::regproc) as definition`
  const { rows } = await client.query<{ definition: string }>(text)
  const { definition } = rows[0] as { definition: string }
  await client.query(mistaken(definition, variant))
  return () => client.query(definition)
}

/**
 * The SQL that introduces the mistake into a function's definition. Throws if the definition lacks the line.
 */
function mistaken(definition: string, { line, instead, name }: Variant): string {
  const quoted = definition.replaceAll('"maintenance".', "maintenance.")
  if (!quoted.includes(line)) throw new Error(`There is no line to replace for ${name}.`)
  return quoted.replace(line, () => instead)
}
