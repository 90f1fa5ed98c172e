-- Pages that exist
-- Current and archived pages, each once, with the newest body that was read, and with the status, space and parent from
-- the index. `pages` itself has them too, but only after the deletions are [applied](#deletions-applied).
-- Show: SELECT status, count(*) AS pages FROM living_pages GROUP BY status ORDER BY status DESC
WITH latest AS (
  SELECT DISTINCT ON (id) * FROM pages ORDER BY id, updatedAt DESC NULLS LAST
)
SELECT p.id, p.title, coalesce(i.status, p.status) AS status, coalesce(i.spaceId, p.spaceId) AS spaceId,
       CASE WHEN i.id IS NULL THEN p.parentId ELSE i.parentId END AS parentId,
       (p.version ->> 'number')::INT AS version, p.updatedAt, p.body
FROM latest p
JOIN deletions d ON d.id = p.id AND NOT d.deleted
LEFT JOIN page_index i ON i.id = p.id AND d.now <> 'unknown'
  AND (p._airbyte_extracted_at > i._airbyte_extracted_at) IS NOT TRUE
WHERE coalesce(i.status, p.status) IN ('current', 'archived')
