-- Returns the lanes (priorities) of a queue that have a waiting job, highest first. One probe
-- of pending's primary key for each.
CREATE OR REPLACE FUNCTION penstock.lanes(queue text) RETURNS smallint[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found_lanes smallint[];
    lane        smallint := 32767;
BEGIN
    LOOP
        SELECT p.priority INTO lane FROM penstock.pending p WHERE p.queue = lanes.queue AND p.priority < lane
        ORDER BY p.priority DESC LIMIT 1;
        EXIT WHEN NOT found;
        found_lanes := found_lanes || lane;
    END LOOP;
    RETURN found_lanes;
END $$;
