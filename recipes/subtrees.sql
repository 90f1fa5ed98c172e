-- Everything below a page
-- One row for each page and each of its ancestors, and for the page itself: filter by `topId` for a page with
-- everything below it. Each sync reads `page_index` and `tree_items` in full, so moved and archived pages are
-- correct.
-- Show: SELECT b.id, b.title FROM subtrees b JOIN page_index p ON p.id = b.topId
-- WHERE p.title = 'Project Buoy 4 Home' ORDER BY b.title LIMIT 5
WITH RECURSIVE nodes AS (
  SELECT id, parentId, title FROM page_index WHERE status = 'current'
  UNION ALL
  SELECT id, parentId, title FROM tree_items WHERE status = 'current'
),
climb AS (
  SELECT id, title, id AS topId FROM nodes
  UNION
  SELECT c.id, c.title, n.parentId
  FROM climb c JOIN nodes n ON n.id = c.topId
  WHERE n.parentId IS NOT NULL
)
SELECT topId, id, title FROM climb
