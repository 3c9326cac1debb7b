-- Returns the tags of a job, each once: those of the call, and the texts in data.metadata.tags.
CREATE OR REPLACE FUNCTION penstock.job_tags(data jsonb, tags text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(DISTINCT t.tag), '{}') FROM (
        SELECT unnest(tags) AS tag
        UNION ALL
        SELECT e #>> '{}' FROM jsonb_array_elements(CASE jsonb_typeof(data #> '{metadata,tags}')
            WHEN 'array' THEN data #> '{metadata,tags}' ELSE '[]' END) e WHERE jsonb_typeof(e) = 'string') t
$$;
