-- Returns the bucket of a duration in microseconds. Bucket b holds durations above g^(b-1) and up
-- to g^b, with g = 1.01 / 0.99, so that its value (bucket_ms) is within 1% of all of them (DDSketch:
-- Masson, Rim and Lee, PVLDB 12(12), 2019). A duration of up to a microsecond, or a negative one
-- after a clock was set back, is in bucket 0.
CREATE OR REPLACE FUNCTION penstock.duration_bucket(microseconds float8) RETURNS smallint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN microseconds <= 1 THEN 0 ELSE ceil(ln(microseconds) / ln(1.01::float8 / 0.99::float8)) END::smallint
$$;
