-- Contributors
-- New pages, edits and comments of each person. An account that is not in `people` is shown by its id.
-- Show: SELECT * FROM contributors ORDER BY new_pages + edits + comments DESC, person LIMIT 6
WITH contributions AS (
  SELECT authorId, createdAt AS moment, CASE WHEN number = 1 THEN 'new page' ELSE 'edit' END AS kind FROM page_versions
  UNION ALL SELECT version ->> 'authorId', updatedAt, 'comment' FROM footer_comments
  UNION ALL SELECT version ->> 'authorId', updatedAt, 'comment' FROM footer_comment_replies
  UNION ALL SELECT version ->> 'authorId', updatedAt, 'comment' FROM inline_comments
  UNION ALL SELECT version ->> 'authorId', updatedAt, 'comment' FROM inline_comment_replies
)
SELECT coalesce(u.person, c.authorId) AS person, count(*) FILTER (WHERE c.kind = 'new page') AS new_pages,
       count(*) FILTER (WHERE c.kind = 'edit') AS edits, count(*) FILTER (WHERE c.kind = 'comment') AS comments,
       max(moment)::DATE AS last_seen
FROM contributions c LEFT JOIN people u ON u.accountId = c.authorId
GROUP BY 1
