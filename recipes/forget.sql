-- Pages to delete from a search index
-- Pages that a search or a model must no longer show, for a vector store of current pages. Delete these ids from it
-- after each sync, **before** the tables are [cleaned](#deletions-applied): then a purged page is in neither table.
-- Show: SELECT id, title, now FROM forget ORDER BY now, id LIMIT 5
SELECT id, title, now FROM deletions
WHERE now IN ('archived', 'trashed', 'deleted', 'purged or hidden', 'hidden with its space')
