-- Deleted comments, marked
-- Gives a comment that is deleted from a page that exists the status `deleted`. When it is read again, it gets its own
-- status back.
DELETE FROM _absent WHERE stream = 'footer_comments'
  AND id NOT IN (SELECT id FROM footer_comment_deletions WHERE now = 'deleted');
INSERT INTO _absent (stream, id, since, marked)
SELECT 'footer_comments', id, now(), now() FROM footer_comment_deletions
WHERE now = 'deleted' AND id NOT IN (SELECT id FROM _absent WHERE stream = 'footer_comments');
UPDATE footer_comments SET status = 'deleted'
WHERE id IN (SELECT id FROM _absent WHERE stream = 'footer_comments')
