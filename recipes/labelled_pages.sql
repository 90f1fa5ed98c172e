-- Pages with a label
-- One row for each label of each current page. Labels change without moving the timestamp of their page: choose among
-- these rows, which are read whole in every sync, and not among the pages that a sync brought.
-- Show: SELECT space, title, label FROM labelled_pages WHERE label IN ('decision', 'roadmap') ORDER BY 3, 1, 2 LIMIT 5
SELECT l.labelName AS label, l.labelPrefix AS prefix, p.id, p.title, s.key AS space
FROM page_labels l
JOIN page_index p ON p.id = l.pageId
JOIN space s ON s.id = p.spaceId
WHERE p.status = 'current'
