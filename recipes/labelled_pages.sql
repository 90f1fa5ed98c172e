-- Pages with a label
-- One row for each label of each current page. Labels change without a new timestamp of their page: use these rows,
-- which each sync reads in full, and not the pages of a sync.
-- Show: SELECT space, title, label FROM labelled_pages WHERE label IN ('decision', 'roadmap') ORDER BY 3, 1, 2 LIMIT 5
SELECT l.labelName AS label, l.labelPrefix AS prefix, p.id, p.title, s.key AS space
FROM page_labels l
JOIN page_index p ON p.id = l.pageId
JOIN space s ON s.id = p.spaceId
WHERE p.status = 'current'
