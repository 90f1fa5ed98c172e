-- Pages to delete from a search index
-- Pages that a search or a model must no longer show, for a vector store of current pages. Delete these ids from it
-- after each sync, before or after the deletions are [applied](#deletions-applied).
-- Show: SELECT id, title, now FROM forget ORDER BY now, id LIMIT 5
SELECT id, title, now FROM deletions WHERE deleted OR now = 'archived'
