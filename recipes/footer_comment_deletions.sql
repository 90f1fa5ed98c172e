-- What became of each comment
-- Confluence does not list deleted comments, and an incremental sync reads only changes. On a page or post that exists,
-- `now` is `deleted` when the last two complete reads from the beginning lack the comment, and `absent` when only the last
-- one lacks it. [Which reads count](incremental.md#comments-and-attachments) depends on their settings.
--
-- Optional: `blog_post_index`
-- Show: SELECT now, count(*) AS comments FROM footer_comment_deletions GROUP BY now
WITH full_reads AS (
  SELECT full_read, full_before, read_from, spaces FROM _syncs
  WHERE stream = 'footer_comments' AND status = 'COMPLETE'
    AND EXISTS (SELECT 1 FROM footer_comments WHERE _airbyte_extracted_at >= full_read)
),
asked AS (  -- the pages and posts that were there in the same sync: it asked for their comments
  SELECT i.id, f.* FROM (
    SELECT 'page_index' AS stream, id, status FROM page_index
    UNION ALL SELECT 'blog_post_index', id, status FROM blog_post_index
  ) i
  JOIN _syncs s ON s.stream = i.stream AND s.status = 'COMPLETE'
  JOIN full_reads f ON f.spaces = s.spaces AND f.full_read = s.full_read
  WHERE i.status = 'current'
)
SELECT c.id, c.pageId,
       CASE
         WHEN d.deleted THEN 'deleted with its page'
         WHEN (coalesce(c.updatedAt, '-infinity') >= a.read_from AND c._airbyte_extracted_at < a.full_read) IS NOT TRUE
           THEN c.status
         WHEN b.marked IS NULL AND (c._airbyte_extracted_at < a.full_before) IS NOT TRUE THEN 'absent'
         ELSE 'deleted'
       END AS now,
       b.marked
FROM footer_comments c
LEFT JOIN asked a ON a.id = coalesce(c.pageId, c.blogPostId)
LEFT JOIN deletions d ON d.id = c.pageId
LEFT JOIN _absent b ON b.stream = 'footer_comments' AND b.id = c.id
