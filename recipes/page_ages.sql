-- Stale pages, by owner
-- The age and the owner of each page. Days are counted from the last save to the newest change of the site; replace
-- `newest` with `now()` to count to today.
-- Show: SELECT owner, count(*) AS stale, max(days) AS most_days
-- FROM page_ages WHERE days > 365 GROUP BY owner ORDER BY stale DESC, owner LIMIT 6
SELECT s.key AS space, p.id, p.title, coalesce(u.person, p.ownerId) AS owner,
       p.updatedAt::DATE AS last_edit, newest::DATE - p.updatedAt::DATE AS days
FROM pages p
JOIN space s ON s.id = p.spaceId
LEFT JOIN people u ON u.accountId = p.ownerId
CROSS JOIN (SELECT max(updatedAt) AS newest FROM pages) AS site
WHERE p.status = 'current' AND s.status = 'current'
