-- The page tree, with paths
-- The parent of a page is a page, a folder, a whiteboard, a database or an embed; the last four are in `tree_items`.
-- A page whose parent the account cannot see is at the top. Each sync reads `page_index` in full, so archived pages
-- are excluded.
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
