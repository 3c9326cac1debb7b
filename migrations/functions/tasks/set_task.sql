-- Changes a task. Null leaves a field as it is, and settings has only those to change. A new
-- schedule or time zone, and a resume, count from now on: missed ticks are not repeated. False if
-- there is no such task. The runner decides if the schedule can be read: see plan_task.
CREATE OR REPLACE FUNCTION penstock.set_task(task text, schedule text DEFAULT NULL, time_zone text DEFAULT NULL,
    paused boolean DEFAULT NULL, settings jsonb DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    t   scheduled_tasks;
    one record;
BEGIN
    SELECT c.* INTO t FROM scheduled_tasks c WHERE c.name = set_task.task FOR UPDATE;
    IF NOT found THEN
        RETURN false;
    END IF;
    IF set_task.schedule !~ '^[ -~]{1,200}$' THEN
        PERFORM refuse('schedule', 'a cron expression of up to 200 characters', set_task.schedule);
    ELSIF set_task.time_zone !~ '^[A-Za-z0-9_+/-]{1,64}$' THEN
        PERFORM refuse('time_zone', 'a name such as UTC or Europe/Berlin', set_task.time_zone);
    ELSIF jsonb_typeof(set_task.settings) <> 'object' THEN
        PERFORM refuse('settings', 'a JSON object', set_task.settings::text);
    END IF;
    FOR one IN SELECT s.key, s.value, t.limits -> s.key AS bound FROM jsonb_each(set_task.settings) s LOOP
        IF one.bound IS NULL THEN
            PERFORM refuse('settings', coalesce((SELECT 'of ' || string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(t.limits) k),
                'left out: this task has none'), one.key);
        ELSIF (CASE jsonb_typeof(one.value) WHEN 'number' THEN one.value::numeric % 1 <> 0
            OR one.value::numeric NOT BETWEEN (one.bound ->> 'least')::numeric AND (one.bound ->> 'most')::numeric ELSE true END) THEN
            PERFORM refuse('settings.' || one.key, format('a whole number from %s to %s (%s)', one.bound ->> 'least',
                one.bound ->> 'most', one.bound ->> 'unit'), one.value::text);
        END IF;
    END LOOP;
    UPDATE scheduled_tasks c SET schedule = coalesce(set_task.schedule, c.schedule),
        time_zone = coalesce(set_task.time_zone, c.time_zone), paused = coalesce(set_task.paused, c.paused),
        settings = c.settings || coalesce(set_task.settings, '{}'),
        next_run_at = CASE WHEN set_task.schedule <> c.schedule OR set_task.time_zone <> c.time_zone
            OR c.paused AND NOT set_task.paused THEN NULL ELSE c.next_run_at END
    WHERE c.name = t.name;
    RETURN true;
END $$;
