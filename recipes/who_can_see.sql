-- Who can see what
-- A person can see a page if they may read its space and are in every list of readers of the page and of its
-- ancestors (pages, folders, whiteboards, databases and embeds), by name or through a group. **An empty list
-- restricts nothing.** `lists` is the number of these lists.
--
-- Not included: readers who are not in `users`, anonymous visitors, access classes other than all users with a
-- licence, and administrators, who can grant themselves access.
-- Show: SELECT space, page, lists, count(*) AS people, left(string_agg(person, ', ' ORDER BY person), 60) AS names
-- FROM who_can_see WHERE lists > 0 GROUP BY space, page, lists ORDER BY people, space, page LIMIT 6
WITH RECURSIVE people AS (
  SELECT accountId, coalesce(displayName, publicName, accountId) AS person FROM users
  WHERE accountType = 'atlassian' AND accountStatus = 'active'
),
holders AS (  -- of permission to read a space; a role is replaced by its holders
  SELECT p.spaceId, coalesce(a.principalType, p.principal ->> 'type') AS kind,
         coalesce(a.principalId, p.principal ->> 'id') AS id
  FROM space_permissions p
  LEFT JOIN space_role_assignments a
    ON (p.principal ->> 'type') = 'role' AND a.roleId = (p.principal ->> 'id') AND a.spaceId = p.spaceId
  WHERE (p.operation ->> 'key') = 'read' AND (p.operation ->> 'targetType') = 'space'
),
space_readers AS (
  SELECT spaceId, id AS accountId FROM holders WHERE lower(kind) = 'user'
  UNION
  SELECT h.spaceId, m.accountId FROM holders h JOIN group_members m ON m.groupId = h.id WHERE lower(kind) = 'group'
  UNION
  SELECT h.spaceId, p.accountId FROM holders h CROSS JOIN people p
  WHERE lower(replace(h.id, '_', '-')) IN ('all-licensed-users', 'anonymous-users')
),
read_lists AS (
  SELECT pageId AS stepId, restrictions FROM page_restrictions WHERE operation = 'read'
  UNION ALL
  SELECT treeItemId, restrictions FROM tree_item_restrictions WHERE operation = 'read'
),
named AS (  -- one row for each user and each group in the list of readers of a page or tree item
  SELECT stepId, 'user' AS kind, (restrictions -> 'user' -> 'results' -> n::INT) ->> 'accountId' AS id
  FROM read_lists
  CROSS JOIN LATERAL generate_series(0, json_array_length((restrictions -> 'user' -> 'results')::JSON)::INT - 1) AS place(n)
  UNION ALL
  SELECT stepId, 'group', (restrictions -> 'group' -> 'results' -> n::INT) ->> 'id'
  FROM read_lists
  CROSS JOIN LATERAL generate_series(0, json_array_length((restrictions -> 'group' -> 'results')::JSON)::INT - 1) AS place(n)
),
listed AS (
  SELECT stepId, id AS accountId FROM named WHERE kind = 'user'
  UNION
  SELECT n.stepId, m.accountId FROM named n JOIN group_members m ON m.groupId = n.id WHERE n.kind = 'group'
),
parents AS (
  SELECT id, parentId FROM pages UNION ALL SELECT id, parentId FROM tree_items
),
above AS (  -- every page with itself and each of its ancestors
  SELECT id AS pageId, id AS stepId FROM pages WHERE status = 'current'
  UNION
  SELECT a.pageId, p.parentId FROM above a JOIN parents p ON p.id = a.stepId WHERE p.parentId IS NOT NULL
),
to_pass AS (  -- only those with a list of readers
  SELECT a.pageId, a.stepId FROM above a WHERE a.stepId IN (SELECT stepId FROM named)
),
passed AS (
  SELECT t.pageId, l.accountId, count(*) AS lists FROM to_pass t JOIN listed l ON l.stepId = t.stepId GROUP BY 1, 2
),
needed AS (
  SELECT pageId, count(*) AS lists FROM to_pass GROUP BY 1
)
SELECT s.key AS space, p.id, p.title AS page, people.accountId, people.person, coalesce(n.lists, 0) AS lists
FROM pages p
JOIN space s ON s.id = p.spaceId
JOIN space_readers r ON r.spaceId = p.spaceId
JOIN people ON people.accountId = r.accountId
LEFT JOIN needed n ON n.pageId = p.id
LEFT JOIN passed d ON d.pageId = p.id AND d.accountId = r.accountId
WHERE p.status = 'current' AND (n.lists IS NULL OR d.lists = n.lists)
