-- Priority where the caller states none: rules over the data, then tags. Both are
-- rows, so every language enqueues alike and a change holds at once.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- The first rule of a queue whose condition holds gives the weight. A condition
-- is a jsonpath over the data: a predicate that must be true, or a path that must
-- find something. It may use $tags (those of the call and of data.metadata.tags),
-- $now, $ago_1m, $ago_5m, $ago_1h and $ago_1d (epoch milliseconds).
CREATE TABLE penstock.priority_rules (
    queue     text     NOT NULL,
    position  smallint NOT NULL CHECK (position BETWEEN 1 AND 1000),
    condition jsonpath NOT NULL,
    priority  text     NOT NULL,
    PRIMARY KEY (queue, position)
);
COMMENT ON COLUMN penstock.priority_rules.priority IS 'A level or a weight 1-100.';

-- Rules that raised an error when they were last evaluated; such a rule is passed
-- over. No foreign key: an enqueue that notes one must not wait for whoever changes
-- the rule, nor fail because it is gone.
CREATE TABLE penstock.priority_rule_errors (
    queue     text        NOT NULL,
    position  smallint    NOT NULL,
    message   text        NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (queue, position)
);

-- Each tag a job carries shifts the weight that a rule or the queue's default gave.
CREATE TABLE penstock.priority_tags (
    tag   text     PRIMARY KEY,
    shift smallint NOT NULL CHECK (shift BETWEEN -99 AND 99)
);

INSERT INTO penstock.priority_rules VALUES
    ('deploy-contract', 10, '$.environment == "production"', 'critical'),
    ('deploy-contract', 20, '$.urgent == true || $tags[*] == "urgent"', 'high'),
    ('deploy-contract', 30, '$.environment == "staging"', 'normal'),
    ('deploy-contract', 40, '$.environment == "dev" || $.environment == "development"', 'low'),
    ('process-tts', 10, '$.realTime == true', 'high'),
    ('process-tts', 20, '$.batch == true', 'low'),
    ('process-tts', 30, '$.text like_regex "^.{0,255}.{0,25}$" flag "s"', 'normal'),
    -- A longer text that is neither: between low and normal, so that it does not
    -- hold up short ones and is not held up by batches.
    ('process-tts', 40, '$.text.type() == "string"', '3'),
    ('index-market-news', 10, '$.breaking == true', 'critical'),
    ('index-market-news', 20, '$.publishedAt >= $ago_5m', 'high');
INSERT INTO penstock.priority_tags VALUES
    ('urgent', 5), ('critical', 10), ('production', 2), ('low-priority', -3), ('batch', -4);

-- +goose StatementBegin
-- The tags a job goes by: those of the call and, where they are strings, those
-- of data.metadata.tags; each once.
CREATE FUNCTION penstock.job_tags(data jsonb, tags text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(DISTINCT t.tag), '{}') FROM (
        SELECT unnest(tags) AS tag
        UNION ALL
        SELECT e #>> '{}' FROM jsonb_array_elements(CASE jsonb_typeof(data #> '{metadata,tags}')
            WHEN 'array' THEN data #> '{metadata,tags}' ELSE '[]' END) e WHERE jsonb_typeof(e) = 'string') t
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The epoch milliseconds of what looks like a time in JSON's quotes, null when it is none.
CREATE FUNCTION penstock.epoch_of(quoted text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN trunc(extract(epoch FROM trim('"' FROM quoted)::timestamptz) * 1000)::text;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The data with every value that is an ISO 8601 date and time with a zone, as
-- JavaScript's toISOString() writes it, as epoch milliseconds: jsonpath of
-- Postgres 15 reads neither a Z nor fractions, and numbers compare with $ago_*.
-- Keys, and what is within a longer string, stay as they are. One pass: data may
-- be a long series of times.
CREATE FUNCTION penstock.epoch_times(data jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    a_time CONSTANT text := '(?<!\\)("\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d(?::?\d\d)?)")(?!:)';
BEGIN
    RETURN (SELECT string_agg(u.other || coalesce(penstock.epoch_of(u.found[1]), u.found[1], ''), '' ORDER BY u.nth)
        FROM ROWS FROM (regexp_split_to_table(data::text, a_time), regexp_matches(data::text, a_time, 'g'))
            WITH ORDINALITY u(other, found, nth))::jsonb;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The moments conditions may use, as epoch milliseconds.
CREATE FUNCTION penstock.rule_moments(moment timestamptz) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('now', m.ms, 'ago_1m', m.ms - 60000, 'ago_5m', m.ms - 300000,
        'ago_1h', m.ms - 3600000, 'ago_1d', m.ms - 86400000)
    FROM (SELECT trunc(extract(epoch FROM moment) * 1000) AS ms) m
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Which rule and tags decide, and what: the position of the first rule that holds
-- (null: none, the queue's default is the base), the tags that shift, the weight
-- clamped to 1-100, and the errors of the rules that were passed over, by position.
CREATE FUNCTION penstock.decide_priority(queue text, data jsonb, tags text[] DEFAULT NULL,
    OUT weight smallint, OUT rule smallint, OUT base smallint, OUT shifting text[], OUT errors jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    given   CONSTANT text[] := job_tags(decide_priority.data, tags);
    vars    CONSTANT jsonb := rule_moments(clock_timestamp()) || jsonb_build_object('tags', given);
    dated   jsonb;
    subject jsonb;
    one     record;
    answer  jsonb;
BEGIN
    errors := '{}';
    FOR one IN
        SELECT r.position, r.condition, r.condition::text ~ '\$"(now|ago_)' AS timed,
            CASE WHEN r.priority ~ '^\d+$' THEN r.priority::smallint ELSE l.weight END AS weight
        FROM priority_rules r LEFT JOIN priority_levels l ON l.level = r.priority
        WHERE r.queue = decide_priority.queue ORDER BY r.position
    LOOP
        subject := decide_priority.data;
        IF one.timed THEN
            dated := coalesce(dated, epoch_times(decide_priority.data));
            subject := dated;
        END IF;
        BEGIN
            answer := jsonb_path_query_first(subject, one.condition, vars);
            IF answer IS NOT NULL AND answer NOT IN ('false', 'null') THEN
                IF one.weight IS NOT NULL THEN
                    rule := one.position;
                    base := one.weight;
                    EXIT;
                END IF;
                errors := errors || jsonb_build_object(one.position, 'its priority is neither a weight nor a known level');
            END IF;
        EXCEPTION WHEN OTHERS THEN -- whatever a condition does, it does not fail an enqueue
            errors := errors || jsonb_build_object(one.position, left(SQLERRM, 500));
        END;
    END LOOP;
    base := coalesce(base, (SELECT q.default_priority FROM queues q WHERE q.queue = decide_priority.queue), 5);
    SELECT coalesce(array_agg(p.tag ORDER BY p.tag), '{}'), least(100, greatest(1, base + coalesce(sum(p.shift), 0)))
    INTO shifting, weight FROM priority_tags p WHERE p.tag = ANY (given);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The weights of jobs that state no priority, in order; tags is null or holds a
-- JSON array or null per job. A rule's error is noted at most once a minute, and
-- nobody waits for whoever notes it.
CREATE FUNCTION penstock.decide_priorities(queue text, data jsonb[], tags jsonb[] DEFAULT NULL) RETURNS smallint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    weights smallint[];
    errors  jsonb[];
BEGIN
    SELECT array_agg(d.weight ORDER BY u.nth), array_agg(d.errors) FILTER (WHERE d.errors <> '{}') INTO weights, errors
    FROM unnest(decide_priorities.data, tags) WITH ORDINALITY u(data, tags, nth)
    CROSS JOIN LATERAL decide_priority(decide_priorities.queue, u.data,
        ARRAY(SELECT jsonb_array_elements_text(coalesce(u.tags, '[]')))) d;
    IF errors IS NOT NULL
        AND pg_try_advisory_xact_lock(hashtext('penstock rule'), hashtext(decide_priorities.queue)) THEN
        INSERT INTO priority_rule_errors AS e (queue, position, message, last_seen)
        SELECT DISTINCT ON (m.position) decide_priorities.queue, m.position::smallint, m.message, clock_timestamp()
        FROM unnest(errors) o CROSS JOIN LATERAL jsonb_each_text(o) m(position, message)
        WHERE NOT EXISTS (SELECT FROM priority_rule_errors x WHERE x.queue = decide_priorities.queue
            AND x.position = m.position::smallint AND x.last_seen > clock_timestamp() - interval '1 minute')
        ORDER BY m.position
        ON CONFLICT (queue, position) DO UPDATE SET message = excluded.message, last_seen = excluded.last_seen;
    END IF;
    RETURN weights;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Sets the rule at a place of a queue's order, or removes it (condition null).
CREATE FUNCTION penstock.set_rule(queue text, "position" integer, condition text, priority text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    path jsonpath;
BEGIN
    PERFORM check_name('queue', set_rule.queue);
    IF set_rule.position IS NULL OR set_rule.position NOT BETWEEN 1 AND 1000 THEN
        PERFORM refuse('position', '1 to 1000', set_rule.position::text);
    END IF;
    DELETE FROM priority_rule_errors e WHERE e.queue = set_rule.queue AND e.position = set_rule.position;
    IF set_rule.condition IS NULL THEN
        DELETE FROM priority_rules r WHERE r.queue = set_rule.queue AND r.position = set_rule.position;
        RETURN;
    END IF;
    IF length(set_rule.condition) > 2000 THEN
        PERFORM refuse('condition', 'a jsonpath of at most 2000 characters', set_rule.condition);
    END IF;
    BEGIN
        path := set_rule.condition::jsonpath;
    EXCEPTION WHEN OTHERS THEN -- bad syntax, a bad regular expression, what Postgres does not implement
        PERFORM refuse('condition', 'a jsonpath (' || SQLERRM || ')', set_rule.condition);
    END;
    BEGIN
        PERFORM jsonb_path_query_first('{}', path, rule_moments(now()) || '{"tags": []}', true);
    EXCEPTION WHEN undefined_object THEN
        PERFORM refuse('condition', 'a jsonpath with no variables but $now, $ago_1m, $ago_5m, $ago_1h, $ago_1d, $tags',
            set_rule.condition);
    WHEN OTHERS THEN
        NULL; -- it may still hold for other data
    END;
    -- Evaluating it over {} does not reach every variable.
    IF EXISTS (SELECT FROM regexp_matches(path::text, '\$"([^"]*)"', 'g') v
               WHERE v[1] NOT IN ('now', 'ago_1m', 'ago_5m', 'ago_1h', 'ago_1d', 'tags')) THEN
        PERFORM refuse('condition', 'a jsonpath with no variables but $now, $ago_1m, $ago_5m, $ago_1h, $ago_1d, $tags',
            set_rule.condition);
    END IF;
    PERFORM priority_weight(coalesce(to_jsonb(set_rule.priority), '""'));
    INSERT INTO priority_rules VALUES (set_rule.queue, set_rule.position, path, set_rule.priority)
    ON CONFLICT (queue, position) DO UPDATE SET condition = excluded.condition, priority = excluded.priority;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The name of the level a weight shows as: the nearest at or below it, else the lowest.
CREATE FUNCTION penstock.priority_level(weight integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT coalesce(
        (SELECT l.level FROM penstock.priority_levels l WHERE l.weight <= priority_level.weight ORDER BY l.weight DESC LIMIT 1),
        (SELECT l.level FROM penstock.priority_levels l ORDER BY l.weight LIMIT 1))
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Adds a level or changes its weight (1-100, each once); weight 0 removes it.
CREATE FUNCTION penstock.set_level(level text, weight integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('level', set_level.level);
    IF set_level.level ~ '^\d+$' THEN
        PERFORM refuse('level', 'a name that is not a number', set_level.level);
    ELSIF set_level.weight IS NULL OR set_level.weight NOT BETWEEN 0 AND 100 THEN
        PERFORM refuse('weight', '1 to 100, or 0 to remove the level', set_level.weight::text);
    ELSIF set_level.weight = 0 THEN
        IF EXISTS (SELECT FROM priority_rules r WHERE r.priority = set_level.level) THEN
            PERFORM refuse('level', 'one that no rule uses', set_level.level);
        ELSIF NOT EXISTS (SELECT FROM priority_levels l WHERE l.level <> set_level.level) THEN
            PERFORM refuse('level', 'another than the last one', set_level.level);
        END IF;
        DELETE FROM priority_levels l WHERE l.level = set_level.level;
        RETURN;
    ELSIF EXISTS (SELECT FROM priority_levels l WHERE l.weight = set_level.weight AND l.level <> set_level.level) THEN
        PERFORM refuse('weight', 'one that no other level has', set_level.weight::text);
    END IF;
    INSERT INTO priority_levels VALUES (set_level.level, set_level.weight)
    ON CONFLICT (level) DO UPDATE SET weight = excluded.weight;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Adds a tag or changes its shift (-99 to 99); shift 0 removes it.
CREATE FUNCTION penstock.set_tag(tag text, shift integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('tag', set_tag.tag);
    IF set_tag.shift IS NULL OR set_tag.shift NOT BETWEEN -99 AND 99 THEN
        PERFORM refuse('shift', '-99 to 99', set_tag.shift::text);
    ELSIF set_tag.shift = 0 THEN
        DELETE FROM priority_tags t WHERE t.tag = set_tag.tag;
        RETURN;
    END IF;
    INSERT INTO priority_tags VALUES (set_tag.tag, set_tag.shift)
    ON CONFLICT (tag) DO UPDATE SET shift = excluded.shift;
END $$;
-- +goose StatementEnd

-- Where the waiting and running jobs of a queue stand, by weight.
CREATE VIEW penstock.priority_distribution AS
SELECT c.queue, c.priority AS weight, penstock.priority_level(c.priority) AS level, sum(c.waiting)::bigint AS waiting,
    sum(c.scheduled)::bigint AS scheduled, sum(c.running)::bigint AS running
FROM (
    SELECT p.queue, p.priority, count(*) FILTER (WHERE p.run_at <= now()) AS waiting,
        count(*) FILTER (WHERE p.run_at > now()) AS scheduled, 0 AS running
    FROM penstock.pending p GROUP BY p.queue, p.priority
    UNION ALL
    SELECT r.queue, r.priority, 0, 0, count(*) FROM penstock.running r GROUP BY r.queue, r.priority) c
GROUP BY c.queue, c.priority;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP VIEW penstock.priority_distribution;
DROP FUNCTION penstock.set_tag(text, integer), penstock.set_level(text, integer), penstock.priority_level(integer),
    penstock.set_rule(text, integer, text, text),
    penstock.decide_priorities(text, jsonb[], jsonb[]), penstock.decide_priority(text, jsonb, text[]),
    penstock.rule_moments(timestamptz), penstock.epoch_times(jsonb), penstock.epoch_of(text), penstock.job_tags(jsonb, text[]);
DROP TABLE penstock.priority_tags, penstock.priority_rule_errors, penstock.priority_rules;
