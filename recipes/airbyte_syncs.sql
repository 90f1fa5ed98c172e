-- The table `_syncs` in a warehouse that Airbyte fills
-- Airbyte keeps the time at which it read each record, and replaces a table of *Full refresh, overwrite* at the end of
-- the sync. Create this view instead of the table `_syncs`, and apply the deletions only after a sync that Airbyte
-- reports as successful.
CREATE VIEW _syncs AS
SELECT 'page_index' AS stream, 'COMPLETE' AS status, max(_airbyte_extracted_at)::TIMESTAMPTZ AS finished,
       NULL::TIMESTAMPTZ AS full_read, NULL::TIMESTAMPTZ AS full_before, NULL::TIMESTAMPTZ AS read_from,
       NULL::VARCHAR AS spaces
FROM page_index
-- For guests, if no spaces are chosen or left out, and no part of the site is read:
-- UNION ALL SELECT 'space_permissions', 'COMPLETE', NULL, NULL, NULL, NULL, '{}'
-- UNION ALL SELECT 'space_roles', 'COMPLETE', NULL, NULL, NULL, NULL, '{}'
-- UNION ALL SELECT 'space_role_assignments', 'COMPLETE', NULL, NULL, NULL, NULL, '{}'
-- UNION ALL SELECT 'group_members', 'COMPLETE', NULL, NULL, NULL, NULL, '{}'
UNION ALL
SELECT 'blog_post_index', 'COMPLETE', max(_airbyte_extracted_at)::TIMESTAMPTZ, NULL, NULL, NULL, NULL FROM blog_post_index
UNION ALL
SELECT 'space', 'COMPLETE', max(_airbyte_extracted_at)::TIMESTAMPTZ, NULL, NULL, NULL, NULL FROM space
