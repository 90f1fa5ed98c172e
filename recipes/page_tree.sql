-- The page tree, with paths
-- A page hangs below a page, a folder, a whiteboard, a database or an embed; the last four are in `tree_items`. What
-- hangs below something that the account cannot see stands at the top. `page_index` is read whole in every sync, so
-- that a page that was archived since it was edited is not there.
-- Show: SELECT path, type, depth FROM page_tree WHERE space = 'BUOY4' ORDER BY path LIMIT 8
WITH RECURSIVE nodes AS (
  SELECT id, spaceId, parentId, title, 'page' AS type FROM page_index WHERE status = 'current'
  UNION ALL
  SELECT id, spaceId, parentId, title, type FROM tree_items WHERE status = 'current'
),
tree AS (
  SELECT id, spaceId, type, title, title::TEXT AS path, 0 AS depth FROM nodes
  WHERE parentId IS NULL OR parentId NOT IN (SELECT id FROM nodes)
  UNION ALL
  SELECT n.id, n.spaceId, n.type, n.title, t.path || ' / ' || n.title, t.depth + 1
  FROM nodes n JOIN tree t ON n.parentId = t.id
)
SELECT s.key AS space, t.id, t.type, t.title, t.path, t.depth
FROM tree t JOIN space s ON s.id = t.spaceId
