-- May be run again to recreate missing objects. The progress of the maintainer's work.

create or replace function {schema}.report_progress(acting_user text, is_emergency boolean, reported jsonb) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  state {schema}.state;
begin
  if jsonb_typeof(reported) is distinct from 'object' or jsonb_typeof(reported -> 'done') is distinct from 'number'
      or coalesce(jsonb_typeof(reported -> 'total') not in ('number', 'null'), false)
      or coalesce(jsonb_typeof(reported -> 'note') not in ('string', 'null'), false) or length(reported ->> 'note') > 200 then
    raise exception using errcode = '22023', message = 'a progress has done, and may have total and note (at most 200 characters)';
  end if;
  -- Not lock_state(): a report changes nothing that a fence reads, so it neither waits for a switch nor delays one.
  perform {schema}.await_no_standby();
  select * into state from {schema}.state;
  state := {schema}.as_of_now(state);
  perform {schema}.assert_holds(state, acting_user, is_emergency);
  update {schema}.window w set
    progress = jsonb_strip_nulls(jsonb_build_object('done', reported -> 'done', 'total', reported -> 'total', 'note', reported -> 'note')) || jsonb_build_object('at_ms', {schema}.unix_ms(clock_timestamp()))
  where w.id = state.window_id and w.position in ('entering', 'standing');
end $$;
comment on function {schema}.report_progress is
  'Records the progress of the work in the window in force: done, total and note. Raises MM003 for another user''s window, and MM004 if there is none.';
