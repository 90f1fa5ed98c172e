-- Who can see what
-- A person can see a page or post if they [may read its space](#who-may-read-a-space) and are in every list of readers of
-- the page and of its ancestors (pages, folders, whiteboards, databases and embeds). `lists` is the number of these
-- lists. If one of them [is not known](#pages-whose-readers-are-not-known), nobody can see
-- the page.
-- Show: SELECT space, page, lists, count(*) AS people, left(string_agg(person, ', ' ORDER BY person), 60) AS names
-- FROM who_can_see WHERE lists > 0 GROUP BY space, page, lists ORDER BY people, space, page LIMIT 6
WITH RECURSIVE lists AS MATERIALIZED (
  SELECT * FROM reader_lists
),
content AS (
  SELECT l.* FROM lists l LEFT JOIN unknown_readers u ON u.id = l.id
  WHERE l.status = 'current' AND l.type IN ('page', 'blogpost') AND u.id IS NULL
),
above AS (  -- every page with itself and each of its ancestors
  SELECT id, id AS stepId FROM content
  UNION
  SELECT a.id, l.parentId FROM above a JOIN lists l ON l.id = a.stepId WHERE l.parentId IS NOT NULL
),
to_pass AS (
  SELECT a.id, l.accountIds FROM above a JOIN lists l ON l.id = a.stepId AND l.restricted
),
needed AS (
  SELECT id, count(*) AS lists FROM to_pass GROUP BY id
),
passed AS (
  SELECT id, accountId, count(*) AS lists FROM (SELECT id, unnest(accountIds) AS accountId FROM to_pass) each_list
  GROUP BY id, accountId
)
SELECT r.space, c.id, c.type, c.title AS page, r.accountId, r.person, coalesce(n.lists, 0) AS lists
FROM content c
JOIN space_readers r ON r.spaceId = c.spaceId
LEFT JOIN needed n ON n.id = c.id
LEFT JOIN passed d ON d.id = c.id AND d.accountId = r.accountId
WHERE n.lists IS NULL OR d.lists = n.lists
