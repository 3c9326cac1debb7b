-- Returns the microseconds of a span of time, never negative: a clock may be set back.
CREATE OR REPLACE FUNCTION penstock.epoch_us(span interval) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$ SELECT greatest(date_part('epoch', span) * 1000000, 0) $$;
