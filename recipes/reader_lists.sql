-- Lists of readers
-- One row for each page, blog post, folder, whiteboard, database and embed, with its own list of readers: the accounts in
-- it, by name or through a group. Its ancestors have lists of their own. **An empty list restricts nothing.**
--
-- `content_restrictions` has the lists of what Confluence's search finds; the streams with a request for each page, post
-- and tree item have the others. Read one of both kinds, or both: the list that was read last counts.
-- `_airbyte_extracted_at` is when that was. `unknown` says why a list is not known:
--
-- - `never read`: it has no rows. The content is newer than the last sync, was left out, or is in an archived space.
-- - `stream incomplete`: the last sync of the stream failed, and did not read the list again.
-- - `list cut`: parts of the list are missing, and no older list restricts the content.
-- - `changed since`: the content was edited or moved after its list was read, or may have been. Content without a date may
--   have changed until it was read; what `pages` or `blog_posts` has read later than the index can contradict it.
-- - `too old`: the list is 8 days older than the newest rows.
--
-- Optional: `content_restrictions`, `page_restrictions`, `pages`, `blog_posts`, `blog_post_index`, `blog_post_restrictions`,
-- `tree_items`, `tree_item_restrictions`, `_syncs`
-- Show: SELECT type, count(*) AS lists, count(*) FILTER (WHERE restricted) AS restricted, count(unknown) AS unknown
-- FROM reader_lists GROUP BY type ORDER BY type
WITH recent AS (
  SELECT max(read_at) - INTERVAL '8 days' AS since FROM (
    SELECT max(_airbyte_extracted_at) AS read_at FROM page_index
    UNION ALL SELECT max(_airbyte_extracted_at) FROM blog_post_index
    UNION ALL SELECT max(_airbyte_extracted_at) FROM users
    UNION ALL SELECT max(_airbyte_extracted_at) FROM space_permissions
    UNION ALL SELECT max(_airbyte_extracted_at) FROM page_restrictions
    UNION ALL SELECT max(_airbyte_extracted_at) FROM content_restrictions
  ) newest
),
content AS (
  SELECT id, 'page' AS type, status, title, spaceId, parentId, updatedAt, _airbyte_extracted_at AS read_at FROM page_index
  UNION ALL
  SELECT id, 'blogpost', status, title, spaceId, NULL, updatedAt, _airbyte_extracted_at FROM blog_post_index
  UNION ALL
  SELECT id, type, status, title, spaceId, parentId, updatedAt, _airbyte_extracted_at FROM tree_items
),
contradicted AS (
  SELECT p.id FROM pages p JOIN page_index i ON i.id = p.id AND i._airbyte_extracted_at < p._airbyte_extracted_at
  WHERE p.spaceId <> i.spaceId OR p.status <> i.status OR p.parentId IS DISTINCT FROM i.parentId
  UNION ALL
  SELECT p.id FROM blog_posts p JOIN blog_post_index i ON i.id = p.id AND i._airbyte_extracted_at < p._airbyte_extracted_at
  WHERE p.spaceId <> i.spaceId OR p.status <> i.status
),
responses AS (
  SELECT 'page_restrictions' AS stream, pageId AS id, start, restrictions, _airbyte_extracted_at AS read_at
  FROM page_restrictions WHERE operation = 'read'
  UNION ALL
  SELECT 'blog_post_restrictions', blogPostId, start, restrictions, _airbyte_extracted_at
  FROM blog_post_restrictions WHERE operation = 'read'
  UNION ALL
  SELECT 'tree_item_restrictions', treeItemId, start, restrictions, _airbyte_extracted_at
  FROM tree_item_restrictions WHERE operation = 'read'
),
parts AS (  -- a long list has several, in the order of `start`; a list that is missing is not an empty one
  SELECT stream, id, start, read_at,
         CASE WHEN (restrictions -> 'user' ->> 'results') IS NOT NULL THEN restrictions -> 'user' END AS users,
         CASE WHEN (restrictions -> 'group' ->> 'results') IS NOT NULL THEN restrictions -> 'group' END AS groups
  FROM responses
),
followed AS (
  SELECT stream, id, start, read_at, lead(read_at) OVER (PARTITION BY id ORDER BY start) AS next_at,
         coalesce(json_array_length((users -> 'results')::JSON) >= (users ->> 'limit')::INT, FALSE)
           OR coalesce(json_array_length((groups -> 'results')::JSON) >= (groups ->> 'limit')::INT, FALSE)
           OR (users -> '_links' ->> 'next') IS NOT NULL
           OR users IS NULL OR groups IS NULL AS is_cut
  FROM parts
),
reads AS (  -- a part that was read before the part in front of it is left over from an older list
  SELECT stream, id, NULL AS spaceId, min(read_at) AS read_at, count(*) = count(read_at) AS again,
         min(start) = 0 AND bool_and(coalesce(next_at >= read_at, NOT is_cut)) AS complete
  FROM followed GROUP BY stream, id
  UNION ALL
  SELECT 'content_restrictions', id, spaceId, _airbyte_extracted_at, _airbyte_extracted_at IS NOT NULL,
         coalesce(readIsComplete AND readAccountIds IS NOT NULL AND readGroupIds IS NOT NULL, FALSE)
  FROM content_restrictions
),
newest AS (
  SELECT DISTINCT ON (r.id) r.id, r.stream, r.spaceId, r.read_at, y.finished
  FROM reads r JOIN recent ON r.read_at >= since
  LEFT JOIN _syncs y ON y.stream = r.stream
  WHERE r.complete AND r.again ORDER BY r.id, r.read_at DESC, r.stream DESC
),
doubts AS (  -- when a list was cut, and when a sync failed to read it again
  SELECT r.id, max(r.read_at) FILTER (WHERE r.again AND NOT r.complete) AS cut_at, bool_or(NOT r.again) AS not_again,
         max(y.finished) FILTER (WHERE NOT r.again) AS failed_at
  FROM reads r LEFT JOIN _syncs y ON y.stream = r.stream
  GROUP BY r.id
),
named AS (  -- one row for each user and each group in a list
  SELECT stream, id, (users -> 'results' -> n::INT) ->> 'accountId' AS accountId, NULL AS groupId
  FROM parts
  CROSS JOIN LATERAL generate_series(0, json_array_length((users -> 'results')::JSON)::INT - 1) AS place(n)
  UNION ALL
  SELECT stream, id, NULL, (groups -> 'results' -> n::INT) ->> 'id'
  FROM parts
  CROSS JOIN LATERAL generate_series(0, json_array_length((groups -> 'results')::JSON)::INT - 1) AS place(n)
  UNION ALL
  SELECT 'content_restrictions', id, readAccountIds ->> n::INT, NULL
  FROM content_restrictions
  CROSS JOIN LATERAL generate_series(0, json_array_length(readAccountIds::JSON)::INT - 1) AS place(n)
  UNION ALL
  SELECT 'content_restrictions', id, NULL, readGroupIds ->> n::INT
  FROM content_restrictions
  CROSS JOIN LATERAL generate_series(0, json_array_length(readGroupIds::JSON)::INT - 1) AS place(n)
),
members AS (
  SELECT groupId, accountId FROM group_members JOIN recent ON _airbyte_extracted_at >= since
),
lists AS (
  SELECT n.id, array_agg(DISTINCT coalesce(m.accountId, n.accountId) ORDER BY coalesce(m.accountId, n.accountId))
           AS accountIds
  FROM named n
  JOIN newest w ON w.id = n.id AND w.stream = n.stream
  LEFT JOIN members m ON m.groupId = n.groupId
  GROUP BY n.id
)
SELECT c.id, c.type, c.status, c.title, c.spaceId, c.parentId, coalesce(c.updatedAt, c.read_at) AS updatedAt,
       l.id IS NOT NULL AS restricted, l.accountIds, w.read_at AS _airbyte_extracted_at,
       CASE
         WHEN c.read_at IS NULL THEN 'stream incomplete'
         WHEN c.read_at < recent.since THEN 'too old'
         WHEN w.read_at < coalesce(c.updatedAt, c.read_at) OR w.spaceId <> c.spaceId OR c.id IN (SELECT id FROM contradicted)
           THEN 'changed since'
         WHEN d.not_again AND (w.finished >= d.failed_at) IS NOT TRUE THEN 'stream incomplete'
         -- What was cut is restricted: an older list that restricts nothing is no longer true.
         WHEN w.id IS NOT NULL AND (d.cut_at IS NULL OR d.cut_at < w.read_at OR l.id IS NOT NULL) THEN NULL
         WHEN d.cut_at IS NOT NULL THEN 'list cut'
         WHEN d.id IS NOT NULL THEN 'too old'
         WHEN y.stream IS NOT NULL THEN 'stream incomplete'
         ELSE 'never read'
       END AS unknown
FROM content c
CROSS JOIN recent
LEFT JOIN newest w ON w.id = c.id
LEFT JOIN doubts d ON d.id = c.id
LEFT JOIN lists l ON l.id = c.id
LEFT JOIN (SELECT max(stream) AS stream FROM _syncs WHERE stream LIKE '%_restrictions' AND status <> 'COMPLETE') y ON TRUE
