-- One finished check: how many rows it read, how many are wrong, and up to five of them.
CREATE OR REPLACE VIEW penstock.verifications AS
SELECT c.code, 0::bigint AS checked, 0::bigint AS found, '{}'::text[] AS examples FROM penstock.verify_checks c WHERE false;
