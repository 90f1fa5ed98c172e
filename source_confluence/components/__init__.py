"""The components that replace the CDK's where those fall short; `factory` puts them in their places.

The life of a record: a router names the partitions (`partition_router`): groups of spaces, or the parents of a stream.
For each of them the retriever asks for one page after another (`retriever`). A request waits for the rate of the site
(`api_budget`) and an access token (`authenticator`), is sent with a deadline (`adapters`), and is sent again after the
wait that Confluence asks for (`backoff_strategy`). A 404 is believed once the parent itself has been asked for
(`requester`). The response is parsed once (`decoder`). Its records are filtered, get their added fields
(`interpolation`), lose those outside the chosen spaces (`scope`), get their files (`file_uploader`), and move the
cursor (`cursor`).
"""
