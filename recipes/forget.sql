-- What an index must forget
-- The pages whose text no search and no model may show any more, for a vector store that was fed with current pages.
-- Delete what it keeps under these ids after every sync, **before** the tables are [cleaned](#deletions-applied): a
-- purged page is in neither table then.
-- Show: SELECT id, title, now FROM forget ORDER BY now, id LIMIT 5
SELECT id, title, now FROM deletions
WHERE now IN ('archived', 'trashed', 'deleted', 'purged or hidden', 'hidden with its space')
