-- Does what sample_metrics does if there are at least so many tallies; else it returns 0.
CREATE OR REPLACE FUNCTION penstock.fold_metrics(least_tallies integer, max_tallies integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
BEGIN
    IF (SELECT count(*) FROM (SELECT FROM tallies LIMIT least_tallies) t) < least_tallies THEN
        RETURN 0;
    END IF;
    RETURN sample_metrics(max_tallies);
END $$;
