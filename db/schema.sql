-- For sqlc only: the migrator makes the schema before the first migration.
CREATE SCHEMA penstock;
