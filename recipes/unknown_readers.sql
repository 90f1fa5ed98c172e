-- Pages whose readers are not known
-- One row for each current page and post of which, or above which, a [list of readers](#lists-of-readers) is not known, or
-- that has changed since. `why` is explained there, or `ancestor missing`: the tables do not have the parent, such as a
-- folder that Confluence's search does not find yet, or the parent is in the trash, where it has no parent itself.
-- `causeId` is the page itself or the ancestor.
-- Show: SELECT count(*) AS pages FROM unknown_readers
WITH RECURSIVE lists AS MATERIALIZED (
  SELECT * FROM reader_lists
),
above AS (  -- every page with itself and each of its ancestors
  SELECT id, id AS stepId FROM lists WHERE status = 'current' AND type IN ('page', 'blogpost')
  UNION
  SELECT a.id, l.parentId FROM above a JOIN lists l ON l.id = a.stepId WHERE l.parentId IS NOT NULL
)
SELECT DISTINCT ON (a.id) s.key AS space, a.id, c.type, c.title, a.stepId AS causeId,
       CASE WHEN l.id IS NULL THEN 'ancestor missing' ELSE coalesce(l.unknown, 'changed since') END AS why
FROM above a
JOIN lists c ON c.id = a.id
LEFT JOIN lists l ON l.id = a.stepId AND l.status IN ('current', 'archived')
LEFT JOIN space s ON s.id = c.spaceId
WHERE l.id IS NULL OR l.unknown IS NOT NULL OR l._airbyte_extracted_at < c.updatedAt
ORDER BY a.id, a.stepId <> a.id, a.stepId
