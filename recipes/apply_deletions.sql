-- Deletions, applied
-- The same for the warehouse: rows of pages that are gone are deleted, the others get the status and the space that
-- they have now. Run it after each sync that read `page_index` and `space` to their end. A page that was trashed keeps
-- its row, so that it is right again when somebody restores it; the other recipes leave it out by its `status`.
DELETE FROM page_versions WHERE pageId IN (
  SELECT id FROM deletions WHERE now IN ('purged or hidden', 'hidden with its space'));
DELETE FROM rendered_pages WHERE id IN (
  SELECT id FROM deletions WHERE now IN ('purged or hidden', 'hidden with its space'));
DELETE FROM pages WHERE id IN (
  SELECT id FROM deletions WHERE now IN ('purged or hidden', 'hidden with its space'));
UPDATE pages SET status = d.status, spaceId = d.spaceId
FROM page_index d
WHERE d.id = pages.id AND (d.status <> pages.status OR d.spaceId <> pages.spaceId);
