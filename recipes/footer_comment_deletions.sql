-- What became of each comment
-- Confluence does not list deleted comments, and an incremental sync reads only changes. On a page that exists, `now` is
-- `deleted` when the last two complete reads from the beginning lack the comment, and `absent` when only the last one
-- lacks it.
-- Show: SELECT now, count(*) AS comments FROM footer_comment_deletions GROUP BY now
WITH full_reads AS (
  SELECT s.full_read, s.full_before,
         -- A read with a start date says nothing of older comments.
         (SELECT min(updatedAt) FROM footer_comments WHERE _airbyte_extracted_at >= s.full_read) AS oldest
  FROM _syncs s WHERE s.stream = 'footer_comments' AND s.status = 'COMPLETE'
)
SELECT c.id, c.pageId,
       CASE
         WHEN d.deleted THEN 'deleted with its page'
         WHEN c.pageId IS NOT NULL AND (d.now IN ('current', 'archived', 'outdated')) IS NOT TRUE THEN c.status
         WHEN (c.updatedAt >= f.oldest) IS NOT TRUE OR c._airbyte_extracted_at >= f.full_read THEN c.status
         WHEN f.full_before IS NULL OR c._airbyte_extracted_at >= f.full_before THEN 'absent'
         ELSE 'deleted'
       END AS now,
       a.marked
FROM footer_comments c
LEFT JOIN _absent a ON a.stream = 'footer_comments' AND a.id = c.id
LEFT JOIN full_reads f ON TRUE
LEFT JOIN deletions d ON d.id = c.pageId
