-- Returns the duration that a share (0 to 1) of the counted ones did not exceed, by the nearest
-- rank, within 1%. Null if nothing was counted. It is a loop because reports call it for every
-- row: 76 us for 300 buckets, where a query takes 500.
CREATE OR REPLACE FUNCTION penstock.percentile_ms(buckets smallint[], counts bigint[], share float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    rank  bigint := 0;
    place integer := 0;
    jobs  bigint;
BEGIN
    FOREACH jobs IN ARRAY counts LOOP
        rank := rank + jobs;
    END LOOP;
    rank := greatest(ceil(share * rank), least(rank, 1));
    WHILE rank > 0 LOOP
        place := place + 1;
        rank := rank - counts[place];
    END LOOP;
    RETURN penstock.bucket_ms(buckets[place]);
END $$;
