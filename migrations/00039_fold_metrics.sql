-- Folding where it is much, for roles that see no tallies.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- As sample_metrics, when there are at least so many tallies; else nothing is done, and 0
-- returned.
CREATE FUNCTION penstock.fold_metrics(least_tallies integer, max_tallies integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
BEGIN
    IF (SELECT count(*) FROM (SELECT FROM tallies LIMIT least_tallies) t) < least_tallies THEN
        RETURN 0;
    END IF;
    RETURN sample_metrics(max_tallies);
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.fold_metrics(integer, integer);
