-- Space permissions
-- One row for each permission, with the name of its holder: a person, a group, a role, or an access class such as
-- all users with a licence. `space_role_assignments` has the holders of a role.
-- Show: SELECT holder, kind, string_agg(operation, ', ' ORDER BY operation) AS operations
-- FROM space_access WHERE space = 'ENG' GROUP BY holder, kind ORDER BY kind, holder
SELECT s.key AS space, (p.operation ->> 'key') || ' ' || (p.operation ->> 'targetType') AS operation,
       p.principal ->> 'type' AS kind,
       coalesce(u.displayName, u.publicName, g.name, r.name, p.principal ->> 'id') AS holder
FROM space_permissions p
JOIN space s ON s.id = p.spaceId
LEFT JOIN users u ON u.accountId = (p.principal ->> 'id')
LEFT JOIN "group" g ON g.id = (p.principal ->> 'id')
LEFT JOIN space_roles r ON r.id = (p.principal ->> 'id')
