-- Contributors
-- New pages, edits and comments of each person. An account that is no longer in `users` is shown by its id.
-- Show: SELECT * FROM contributors ORDER BY new_pages + edits + comments DESC, person LIMIT 6
WITH contributions AS (
  SELECT authorId, createdAt AS moment, CASE WHEN number = 1 THEN 'new page' ELSE 'edit' END AS kind FROM page_versions
  UNION ALL SELECT version ->> 'authorId', updatedAt, 'comment' FROM footer_comments
  UNION ALL SELECT version ->> 'authorId', updatedAt, 'comment' FROM footer_comment_replies
  UNION ALL SELECT version ->> 'authorId', updatedAt, 'comment' FROM inline_comments
  UNION ALL SELECT version ->> 'authorId', updatedAt, 'comment' FROM inline_comment_replies
)
SELECT coalesce(u.displayName, u.publicName, c.authorId) AS person, count(*) FILTER (WHERE kind = 'new page') AS new_pages,
       count(*) FILTER (WHERE kind = 'edit') AS edits, count(*) FILTER (WHERE kind = 'comment') AS comments,
       max(moment)::DATE AS last_seen
FROM contributions c LEFT JOIN users u ON u.accountId = c.authorId
GROUP BY 1
