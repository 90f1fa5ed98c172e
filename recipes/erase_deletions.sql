-- Deletions, made final
-- Removes the pages, posts, comments and attachments that were marked as deleted 30 days ago or earlier, and everything
-- that belongs to them. Pages and posts in the trash are marked too; an attachment in the trash is not. Until then a page
-- that comes back has lost nothing; afterwards it is `missing` in [deletions](#what-became-of-each-page). Without some of
-- these tables, leave out their statements. Run it in one transaction: if it stops half-way, no later run finds the rest.
DROP TABLE IF EXISTS _erased;
CREATE TABLE _erased (
  pageId VARCHAR(100), blogPostId VARCHAR(100), customContentId VARCHAR(100), attachmentId VARCHAR(100),
  commentId VARCHAR(100));
INSERT INTO _erased (pageId) SELECT id FROM deletions WHERE deleted AND marked <= now() - INTERVAL '30 days';
INSERT INTO _erased (blogPostId) SELECT id FROM post_deletions WHERE deleted AND marked <= now() - INTERVAL '30 days';
INSERT INTO _erased (attachmentId) SELECT id FROM attachment_deletions
WHERE now = 'deleted' AND marked <= now() - INTERVAL '30 days';
INSERT INTO _erased (commentId) SELECT id FROM footer_comment_deletions
WHERE now = 'deleted' AND marked <= now() - INTERVAL '30 days';
INSERT INTO _erased (commentId) SELECT id FROM inline_comment_deletions
WHERE now = 'deleted' AND marked <= now() - INTERVAL '30 days';
INSERT INTO _erased (customContentId)
WITH RECURSIVE below AS (
  SELECT id FROM custom_content
  WHERE pageId IN (SELECT pageId FROM _erased) OR blogPostId IN (SELECT blogPostId FROM _erased)
  UNION
  SELECT c.id FROM custom_content c JOIN below b ON c.customContentId = b.id
)
SELECT id FROM below;
INSERT INTO _erased (attachmentId) SELECT id FROM attachments
WHERE pageId IN (SELECT pageId FROM _erased) OR blogPostId IN (SELECT blogPostId FROM _erased)
   OR customContentId IN (SELECT customContentId FROM _erased);
INSERT INTO _erased (attachmentId) SELECT id FROM attachment_files
WHERE pageId IN (SELECT pageId FROM _erased) OR blogPostId IN (SELECT blogPostId FROM _erased)
   OR customContentId IN (SELECT customContentId FROM _erased);
DROP TABLE IF EXISTS _comments;
CREATE TABLE _comments (
  id VARCHAR(100), parentId VARCHAR(100), pageId VARCHAR(100), blogPostId VARCHAR(100), customContentId VARCHAR(100),
  attachmentId VARCHAR(100));
INSERT INTO _comments (id, pageId, blogPostId, customContentId, attachmentId)
SELECT id, pageId, blogPostId, customContentId, attachmentId FROM footer_comments;
INSERT INTO _comments (id, pageId, blogPostId) SELECT id, pageId, blogPostId FROM inline_comments;
INSERT INTO _comments (id, parentId, pageId) SELECT id, parentCommentId, pageId FROM footer_comment_replies;
INSERT INTO _comments (id, parentId, pageId) SELECT id, parentCommentId, pageId FROM inline_comment_replies;
INSERT INTO _erased (commentId)
WITH RECURSIVE below AS (
  (SELECT id FROM _comments
   WHERE pageId IN (SELECT pageId FROM _erased) OR blogPostId IN (SELECT blogPostId FROM _erased)
      OR customContentId IN (SELECT customContentId FROM _erased)
      OR attachmentId IN (SELECT attachmentId FROM _erased)
   UNION SELECT commentId FROM _erased)
  UNION
  SELECT c.id FROM _comments c JOIN below b ON c.parentId = b.id
)
SELECT id FROM below;
DELETE FROM pages WHERE id IN (SELECT pageId FROM _erased);
DELETE FROM rendered_pages WHERE id IN (SELECT pageId FROM _erased);
DELETE FROM page_versions WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM page_content_states WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM page_labels WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM page_restrictions WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM page_properties WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM page_likes WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM page_watchers WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM page_views WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM page_viewers WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM page_classification_levels WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM tasks WHERE pageId IN (SELECT pageId FROM _erased);
DELETE FROM content_restrictions
WHERE id IN (SELECT pageId FROM _erased) OR id IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_posts WHERE id IN (SELECT blogPostId FROM _erased);
DELETE FROM rendered_blog_posts WHERE id IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_post_versions WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_post_content_states WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_post_labels WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_post_restrictions WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_post_properties WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_post_likes WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_post_views WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_post_viewers WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM blog_post_classification_levels WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM tasks WHERE blogPostId IN (SELECT blogPostId FROM _erased);
DELETE FROM custom_content WHERE id IN (SELECT customContentId FROM _erased);
DELETE FROM custom_content_versions WHERE customContentId IN (SELECT customContentId FROM _erased);
DELETE FROM custom_content_labels WHERE customContentId IN (SELECT customContentId FROM _erased);
DELETE FROM custom_content_properties WHERE customContentId IN (SELECT customContentId FROM _erased);
DELETE FROM attachments WHERE id IN (SELECT attachmentId FROM _erased);
DELETE FROM attachment_files WHERE id IN (SELECT attachmentId FROM _erased);
DELETE FROM attachment_versions WHERE attachmentId IN (SELECT attachmentId FROM _erased);
DELETE FROM attachment_labels WHERE attachmentId IN (SELECT attachmentId FROM _erased);
DELETE FROM attachment_properties WHERE attachmentId IN (SELECT attachmentId FROM _erased);
DELETE FROM footer_comments WHERE id IN (SELECT commentId FROM _erased);
DELETE FROM footer_comment_replies WHERE id IN (SELECT commentId FROM _erased);
DELETE FROM footer_comment_versions WHERE commentId IN (SELECT commentId FROM _erased);
DELETE FROM footer_comment_likes WHERE commentId IN (SELECT commentId FROM _erased);
DELETE FROM inline_comments WHERE id IN (SELECT commentId FROM _erased);
DELETE FROM inline_comment_replies WHERE id IN (SELECT commentId FROM _erased);
DELETE FROM inline_comment_versions WHERE commentId IN (SELECT commentId FROM _erased);
DELETE FROM inline_comment_likes WHERE commentId IN (SELECT commentId FROM _erased);
DROP TABLE _comments;
DROP TABLE _erased
