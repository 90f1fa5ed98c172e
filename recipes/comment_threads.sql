-- Comment threads
-- Comments on pages, each followed by its replies, at any depth. `thread` is the first comment. Sort by `place`: the
-- ids of the comment and of those above it, which increase with time.
-- Show: SELECT space, page, repeat('↳ ', depth) || text AS said, person, resolution FROM comment_threads
-- WHERE thread IN (SELECT thread FROM comment_threads WHERE depth = 2) ORDER BY thread, place LIMIT 6
WITH RECURSIVE comments AS (
  SELECT 'footer' AS kind, id, parentCommentId AS above, pageId, version, body, resolutionStatus
  FROM footer_comments WHERE coalesce(status, 'current') NOT IN ('deleted', 'trashed')
  UNION ALL SELECT 'footer', id, parentCommentId, pageId, version, body, resolutionStatus
  FROM footer_comment_replies WHERE coalesce(status, 'current') NOT IN ('deleted', 'trashed')
  UNION ALL SELECT 'inline', id, parentCommentId, pageId, version, body, resolutionStatus
  FROM inline_comments WHERE coalesce(status, 'current') NOT IN ('deleted', 'trashed')
  UNION ALL SELECT 'inline', id, parentCommentId, pageId, version, body, resolutionStatus
  FROM inline_comment_replies WHERE coalesce(status, 'current') NOT IN ('deleted', 'trashed')
),
once AS (SELECT DISTINCT ON (id) * FROM comments ORDER BY id, above NULLS LAST),
threads AS (
  SELECT id AS thread, pageId AS page_id, 0 AS depth, ARRAY[id] AS place, * FROM once WHERE above IS NULL
  UNION ALL
  SELECT t.thread, t.page_id, t.depth + 1, array_append(t.place, c.id), c.*
  FROM once c JOIN threads t ON c.above = t.id
)
SELECT s.key AS space, p.title AS page, t.kind, t.thread, t.depth, t.place,
       regexp_replace(t.body -> 'storage' ->> 'value', '<[^>]+>', '', 'g') AS text,
       coalesce(u.person, t.version ->> 'authorId') AS person,
       (t.version ->> 'createdAt')::TIMESTAMPTZ AS saved_at, t.resolutionStatus AS resolution
FROM threads t
JOIN pages p ON p.id = t.page_id AND p.status IN ('current', 'archived')
JOIN space s ON s.id = p.spaceId
LEFT JOIN people u ON u.accountId = (t.version ->> 'authorId')
