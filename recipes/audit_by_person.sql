-- The audit log by person
-- Events of each account, by category. `creationDate` is in milliseconds.
-- Show: SELECT person, category, events, last FROM audit_by_person ORDER BY events DESC, person, category LIMIT 6
SELECT coalesce(author ->> 'displayName', author ->> 'publicName', author ->> 'accountId', author ->> 'type') AS person,
       author ->> 'accountId' AS accountId, category, count(*) AS events,
       to_timestamp(min(creationDate) / 1000)::DATE AS first, to_timestamp(max(creationDate) / 1000)::DATE AS last
FROM audit
GROUP BY 1, 2, 3
