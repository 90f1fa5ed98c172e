-- Deletions, applied
-- The same query for the warehouse: rows of deleted pages are removed, and the other rows get their current status
-- and space. Run it after each sync that read `page_index` and `space` completely. A trashed page keeps its row, so
-- that it is correct again when somebody restores it. The other recipes exclude it by its `status`.
DELETE FROM page_versions WHERE pageId IN (
  SELECT id FROM deletions WHERE now IN ('purged or hidden', 'hidden with its space'));
DELETE FROM rendered_pages WHERE id IN (
  SELECT id FROM deletions WHERE now IN ('purged or hidden', 'hidden with its space'));
DELETE FROM pages WHERE id IN (
  SELECT id FROM deletions WHERE now IN ('purged or hidden', 'hidden with its space'));
UPDATE pages SET status = d.status, spaceId = d.spaceId
FROM page_index d
WHERE d.id = pages.id AND (d.status <> pages.status OR d.spaceId <> pages.spaceId);
