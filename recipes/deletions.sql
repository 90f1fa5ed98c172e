-- What became of each page
-- `page_index` lists every page that can be seen now, including trashed pages. [Incremental
-- syncs](incremental.md#deletions-what-became-of-each-page) explains the values of `now`.
-- Show: SELECT * FROM deletions WHERE now <> 'current' LIMIT 6
WITH latest AS (
  SELECT DISTINCT ON (id) * FROM pages ORDER BY id, updatedAt DESC NULLS LAST
)
SELECT coalesce(p.id, i.id) AS id,
       coalesce(i.title, p.title) AS title,
       CASE
         WHEN i.id IS NULL AND s.id IS NULL THEN 'hidden with its space'
         WHEN i.id IS NULL THEN 'purged or hidden'
         WHEN i.status IN ('trashed', 'deleted') THEN i.status
         WHEN p.id IS NULL THEN 'missing'
         WHEN (i.version ->> 'number')::INT > (p.version ->> 'number')::INT THEN 'outdated'
         ELSE i.status
       END AS now,
       i.spaceId AS space_now
FROM latest p
FULL JOIN page_index i ON i.id = p.id
LEFT JOIN space s ON s.id = p.spaceId
WHERE p.id IS NOT NULL OR i.status IN ('current', 'archived')
ORDER BY id
