-- E-mail addresses
-- Confluence shows the address of a person who hides it to nobody, so that no stream has it. An administrator of the
-- organisation can export all accounts with their addresses: at [admin.atlassian.com](https://admin.atlassian.com), choose
-- **Directory**, **Users**, and in the menu at the top **Export users** (all users, of every status; documented). The file
-- is CSV, and `User id` in it is the account id (reported). Load it into a table `exported_users` with the columns of its
-- first line:
--
-- - DuckDB: `CREATE OR REPLACE TABLE exported_users AS FROM read_csv('export-users.csv', all_varchar = true)`.
--   `make demo` does this for an `export-users.csv` in its directory.
-- - PostgreSQL: `CREATE TABLE exported_users ("User id" text, "User name" text, email text, "User status" text, …)`, then in
--   psql `\copy exported_users FROM 'export-users.csv' (FORMAT csv, HEADER)`.
--
-- One row for each account of `people`. `source` says where the address is from. Without one, the address is **not known**:
-- the account is an app or a customer, is in no organisation of yours, or is newer than the file.
-- Show: SELECT person, kind, email, source FROM emails WHERE source IS DISTINCT FROM 'Confluence'
-- ORDER BY source, person LIMIT 6
WITH exported AS (  -- with groups, the export has several rows for an account
  SELECT "User id" AS accountId, min(nullif(trim(email), '')) AS email FROM exported_users GROUP BY 1
)
SELECT p.accountId, p.person, p.kind, p.status, coalesce(nullif(p.email, ''), e.email) AS email,
       CASE WHEN p.email <> '' THEN 'Confluence' WHEN e.email IS NOT NULL THEN 'export' END AS source
FROM people p LEFT JOIN exported e ON e.accountId = p.accountId
