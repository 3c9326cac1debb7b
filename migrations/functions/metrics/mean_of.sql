-- Returns the mean of two means with their counts; null if both counts are zero.
CREATE OR REPLACE FUNCTION penstock.mean_of(one float8, ones integer, other float8, others integer) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN others = 0 THEN one WHEN ones = 0 THEN other
        ELSE (one * ones + other * others) / (ones + others) END
$$;
