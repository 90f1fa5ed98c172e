-- Pages and edits by space and month
-- A version with number 1 is a new page; a higher number is an edit.
-- Show: SELECT * FROM edits_by_month ORDER BY month DESC, space LIMIT 6
SELECT s.key AS space, date_trunc('month', v.createdAt)::DATE AS month,
       count(*) FILTER (WHERE v.number = 1) AS new_pages, count(*) FILTER (WHERE v.number > 1) AS edits
FROM page_versions v
JOIN page_index p ON p.id = v.pageId
JOIN space s ON s.id = p.spaceId
GROUP BY 1, 2
