-- Returns the milliseconds that a bucket of duration_bucket stands for, within 1%.
CREATE OR REPLACE FUNCTION penstock.bucket_ms(bucket integer) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$
    SELECT 2 * power(1.01::float8 / 0.99::float8, bucket) / (1.01::float8 / 0.99::float8 + 1) / 1000
$$;
