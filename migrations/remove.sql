-- Drops what the stamps applied, in the opposite order: views call functions, and
-- functions return types. Postgres refuses while something else depends on one of them.
DO $remove$
DECLARE
    one record;
BEGIN
    SET LOCAL search_path = pg_catalog;
    FOR one IN
        SELECT t.tgname, t.tgrelid::regclass AS relation FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        JOIN penstock.schema_objects o ON o.kind = 'function' AND o.signature = p.oid::regprocedure::text
        WHERE NOT t.tgisinternal AND t.tgparentid = 0
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', one.tgname, one.relation);
    END LOOP;
    FOR one IN
        SELECT o.signature, CASE WHEN o.kind = 'function' THEN 'FUNCTION' WHEN c.relkind = 'c' THEN 'TYPE' ELSE 'VIEW' END AS kind
        FROM penstock.schema_objects o
        LEFT JOIN pg_class c ON c.oid = to_regclass(CASE WHEN o.kind <> 'function' THEN o.signature END) ORDER BY o.place DESC
    LOOP
        EXECUTE format('DROP %s IF EXISTS %s', one.kind, one.signature);
    END LOOP;
    DELETE FROM penstock.schema_objects;
END $remove$;
