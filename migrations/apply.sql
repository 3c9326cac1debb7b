-- Brings types, functions and views to what the rows below say, in one transaction.
-- An object is replaced only if its source changed, somebody changed it in the database,
-- or it is missing: replacing a function throws away the plans that sessions have cached
-- of it. Where CREATE OR REPLACE cannot do it, the object and what depends on it is
-- dropped and made again with the same owner and grants.
--
-- Locks: a replaced view and the tables of a new trigger are locked until the end of the
-- transaction; functions take no lock on tables.
SET LOCAL check_function_bodies = off;
SET LOCAL search_path = pg_catalog;

CREATE TABLE penstock.schema_incoming (
    stamp      bigint  NOT NULL,
    place      integer PRIMARY KEY,
    kind       text    NOT NULL,
    signature  text    NOT NULL,
    file       text    NOT NULL,
    hash       text    NOT NULL,
    comment    text    NOT NULL,
    source     text    NOT NULL,
    definition text, -- a hash of what the function does in the database, as this or an earlier stamp left it
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    current    boolean NOT NULL DEFAULT false -- it is in the database as its source says
);
{{objects}}

-- What a dropped object had, for the one that takes its place.
CREATE TABLE penstock.schema_dropped (
    signature text    NOT NULL, -- of a function or relation
    name      text    NOT NULL, -- without arguments
    arguments text[],           -- a function's
    owner     regrole NOT NULL,
    target    text,             -- EXECUTE, SELECT (column) …; null: only the owner is known
    grantee   oid,              -- 0: PUBLIC
    grantable boolean
);

-- The catalog and id of an object; no row when it does not exist.
CREATE FUNCTION penstock.schema_find(kind text, signature text, OUT class oid, OUT object oid) RETURNS SETOF record
LANGUAGE sql STABLE AS $$
    SELECT 'pg_proc'::regclass::oid, p.oid FROM pg_proc p
    WHERE kind = 'function' AND p.proname = split_part(split_part(signature, '(', 1), '.', 2) AND p.pronamespace = 'penstock'::regnamespace AND p.oid::regprocedure::text = signature
    UNION ALL
    SELECT 'pg_class'::regclass::oid, c.oid FROM pg_class c
    WHERE c.oid = to_regclass(CASE WHEN kind <> 'function' THEN signature END)
$$;

-- Drops a function, view or type of schema penstock after what depends on it, and notes
-- owners and grants. What belongs to another schema is never dropped: Postgres refuses.
CREATE FUNCTION penstock.schema_drop(class oid, object oid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one    record;
    title  text;
BEGIN
    FOR one IN
        WITH target(class, id) AS (
            SELECT schema_drop.class, schema_drop.object
            UNION ALL SELECT 'pg_type'::regclass, v.id FROM pg_class c JOIN pg_type t ON t.oid = c.reltype
            CROSS JOIN LATERAL (VALUES (t.oid), (t.typarray)) v(id)
            WHERE schema_drop.class = 'pg_class'::regclass AND c.oid = schema_drop.object
        )
        SELECT DISTINCT CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass::oid END AS class, coalesce(r.ev_class, d.objid) AS id
        FROM target t JOIN pg_depend d ON d.refclassid = t.class AND d.refobjid = t.id AND d.deptype = 'n'
        LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        LEFT JOIN pg_class c ON c.oid = r.ev_class
        LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
        LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
        LEFT JOIN pg_class gc ON gc.oid = g.tgrelid
        WHERE coalesce(r.ev_class, d.objid) <> schema_drop.object
          AND 'penstock'::regnamespace IN (c.relnamespace, p.pronamespace, gc.relnamespace)
    LOOP
        IF one.class = 'pg_trigger'::regclass THEN
            EXECUTE (SELECT format('DROP TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass) FROM pg_trigger g WHERE g.oid = one.id);
        ELSE
            PERFORM penstock.schema_drop(one.class, one.id);
        END IF;
    END LOOP;
    IF class = 'pg_proc'::regclass THEN
        INSERT INTO penstock.schema_dropped
        SELECT p.oid::regprocedure::text, p.proname, ARRAY(SELECT format_type(u.t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY u(t, n) ORDER BY u.n),
            p.proowner, a.privilege_type, a.grantee, a.is_grantable
        FROM pg_proc p LEFT JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a ON a.grantee <> p.proowner
        WHERE p.oid = object;
        title := 'FUNCTION ' || object::regprocedure::text;
    ELSE
        INSERT INTO penstock.schema_dropped
        SELECT c.oid::regclass::text, c.relname, NULL, c.relowner, a.target, a.grantee, a.is_grantable
        FROM pg_class c LEFT JOIN LATERAL (
            SELECT x.privilege_type AS target, x.grantee, x.is_grantable FROM aclexplode(c.relacl) x
            UNION ALL
            SELECT format('%s (%I)', x.privilege_type, b.attname), x.grantee, x.is_grantable
            FROM pg_attribute b CROSS JOIN LATERAL aclexplode(b.attacl) x WHERE b.attrelid = c.oid) a ON a.grantee <> c.relowner
        WHERE c.oid = object;
        title := CASE (SELECT c.relkind FROM pg_class c WHERE c.oid = object) WHEN 'c' THEN 'TYPE ' ELSE 'VIEW ' END || object::regclass::text;
    END IF;
    EXECUTE 'DROP ' || title;
END $$;

-- Makes one incoming object and gives it the owner and grants of those that it replaces:
-- a dropped one of the same signature, or a function of its name of which the arguments
-- grew, or that an older release has with fewer.
CREATE FUNCTION penstock.schema_make(incoming penstock.schema_incoming) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    found record;
    fresh boolean := false;
    one   record;
    title text;
BEGIN
    SELECT f.class, f.object INTO found FROM penstock.schema_find(incoming.kind, incoming.signature) f;
    IF found.object IS NULL THEN
        fresh := true;
    ELSIF (SELECT c.relkind FROM pg_class c WHERE found.class = 'pg_class'::regclass AND c.oid = found.object) = 'c' THEN
        PERFORM penstock.schema_drop(found.class, found.object);
        fresh := true;
    END IF;
    IF NOT fresh THEN
        BEGIN
            EXECUTE incoming.source;
        EXCEPTION WHEN invalid_function_definition OR invalid_table_definition THEN
            PERFORM penstock.schema_drop(found.class, found.object);
            fresh := true;
        END;
    END IF;
    IF fresh THEN
        EXECUTE incoming.source;
        SELECT f.class, f.object INTO found FROM penstock.schema_find(incoming.kind, incoming.signature) f;
        IF found.object IS NULL THEN
            RAISE EXCEPTION '% makes no % %', incoming.file, incoming.kind, incoming.signature;
        END IF;
        IF incoming.kind = 'function' THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', incoming.signature);
        END IF;
        FOR one IN
            SELECT DISTINCT d.owner, d.target, d.grantee, d.grantable FROM penstock.schema_dropped d
            LEFT JOIN pg_proc p ON incoming.kind = 'function' AND p.oid = found.object
            CROSS JOIN LATERAL (SELECT coalesce(array_agg(format_type(u.t, NULL) ORDER BY u.n), '{}') AS types
                FROM unnest(p.proargtypes) WITH ORDINALITY u(t, n)) a
            WHERE d.signature = incoming.signature
               -- Its arguments grew, or are fewer again because an older release is put back.
               OR d.name = p.proname AND NOT EXISTS (SELECT FROM penstock.schema_incoming i WHERE i.signature = d.signature)
                  AND (d.arguments = a.types[:cardinality(d.arguments)]
                    OR d.arguments[:cardinality(a.types)] = a.types)
            ORDER BY d.target
        LOOP
            title := CASE WHEN incoming.kind = 'function' THEN 'FUNCTION ' ELSE 'TABLE ' END || incoming.signature;
            IF one.owner <> CURRENT_USER::regrole THEN
                EXECUTE format('ALTER %s OWNER TO %s', replace(title, 'TABLE ', 'VIEW '), one.owner);
            END IF;
            CONTINUE WHEN one.target IS NULL;
            BEGIN
                EXECUTE format('GRANT %s ON %s TO %s%s', one.target, title,
                    CASE WHEN one.grantee = 0 THEN 'PUBLIC' ELSE one.grantee::regrole::text END,
                    CASE WHEN one.grantable THEN ' WITH GRANT OPTION' ELSE '' END);
            EXCEPTION WHEN undefined_column THEN
                NULL; -- the view has that column no longer
            END;
        END LOOP;
    END IF;
    -- A trigger that the file of its function has no more.
    FOR one IN
        SELECT g.tgname, g.tgrelid::regclass::text AS relation FROM pg_trigger g
        WHERE incoming.kind = 'function' AND g.tgfoid = found.object AND NOT g.tgisinternal AND g.tgparentid = 0
          AND incoming.source !~ format('TRIGGER %I [^;]*\mON %s\M', g.tgname, g.tgrelid::regclass)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', one.tgname, one.relation);
    END LOOP;
    UPDATE penstock.schema_incoming i SET current = true, applied_at = clock_timestamp(), definition =
        (SELECT {{digest}} FROM pg_proc p WHERE incoming.kind = 'function' AND p.oid = found.object)
    WHERE i.place = incoming.place;
END $$;

DO $apply$
DECLARE
    one   record;
    title text;
BEGIN
    UPDATE penstock.schema_incoming i SET current = true, definition = o.definition, applied_at = o.applied_at
    FROM penstock.schema_objects o CROSS JOIN LATERAL penstock.schema_find(o.kind, o.signature) f
    WHERE o.signature = i.signature AND o.kind = i.kind AND o.hash = i.hash
      AND (i.kind <> 'function' OR o.definition = (SELECT {{digest}} FROM pg_proc p WHERE p.oid = f.object));
    -- First what no file has any more: an older form of a function, with fewer arguments,
    -- would make a call ambiguous.
    FOR one IN
        SELECT f.class, f.object FROM penstock.schema_objects o CROSS JOIN LATERAL penstock.schema_find(o.kind, o.signature) f
        WHERE NOT EXISTS (SELECT FROM penstock.schema_incoming i WHERE i.signature = o.signature) ORDER BY o.place DESC
    LOOP
        -- The one before may have taken it along.
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_proc p WHERE one.class = 'pg_proc'::regclass AND p.oid = one.object
            UNION ALL SELECT FROM pg_class c WHERE one.class = 'pg_class'::regclass AND c.oid = one.object);
        PERFORM penstock.schema_drop(one.class, one.object);
    END LOOP;
    -- Replacing one may drop others that depend on it: again, until all are there.
    LOOP
        UPDATE penstock.schema_incoming i SET current = false
        WHERE i.current AND NOT EXISTS (SELECT FROM penstock.schema_find(i.kind, i.signature));
        EXIT WHEN NOT EXISTS (SELECT FROM penstock.schema_incoming i WHERE NOT i.current);
        FOR one IN SELECT i FROM penstock.schema_incoming i WHERE NOT i.current ORDER BY i.place LOOP
            PERFORM penstock.schema_make(one.i);
        END LOOP;
    END LOOP;
    FOR one IN
        SELECT i.kind, i.signature, i.comment, c.relkind FROM penstock.schema_incoming i
        CROSS JOIN LATERAL penstock.schema_find(i.kind, i.signature) f
        LEFT JOIN pg_class c ON i.kind <> 'function' AND c.oid = f.object
        WHERE CASE WHEN i.kind = 'function' THEN obj_description(f.object, 'pg_proc') WHEN c.relkind = 'c'
            THEN obj_description(c.reltype, 'pg_type') ELSE obj_description(f.object, 'pg_class') END IS DISTINCT FROM i.comment
    LOOP
        title := CASE WHEN one.kind = 'function' THEN 'FUNCTION' WHEN one.relkind = 'c' THEN 'TYPE' ELSE 'VIEW' END;
        EXECUTE format('COMMENT ON %s %s IS %L', title, one.signature, one.comment);
    END LOOP;
    DELETE FROM penstock.schema_objects;
    INSERT INTO penstock.schema_objects (kind, signature, place, file, hash, definition, stamp, applied_at)
    SELECT i.kind, i.signature, i.place, i.file, i.hash, i.definition, i.stamp, i.applied_at FROM penstock.schema_incoming i;
    -- An enqueue needs a partition for its job.
    IF to_regclass('penstock.partitions') IS NOT NULL THEN
        EXECUTE 'SELECT penstock.ensure_partitions() WHERE NOT EXISTS (SELECT FROM penstock.partitions)';
    END IF;
END $apply$;

DROP FUNCTION penstock.schema_make(penstock.schema_incoming), penstock.schema_drop(oid, oid), penstock.schema_find(text, text);
DROP TABLE penstock.schema_dropped, penstock.schema_incoming;
