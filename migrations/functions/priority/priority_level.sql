-- Returns the name of the level for a weight: the nearest at or below it, else the lowest.
CREATE OR REPLACE FUNCTION penstock.priority_level(weight integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT coalesce(
        (SELECT l.level FROM penstock.priority_levels l WHERE l.weight <= priority_level.weight ORDER BY l.weight DESC LIMIT 1),
        (SELECT l.level FROM penstock.priority_levels l ORDER BY l.weight LIMIT 1))
$$;
