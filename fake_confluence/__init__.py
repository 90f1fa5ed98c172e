"""A Confluence Cloud site on the loopback interface, for the demo, tests and benchmarks.

What it does not imitate: permissions of the reader (every account reads everything), writing through the API,
rendering (`view` and similar formats are the storage format), the delay of the search and CQL queries that the
connector does not send, rate limits by points (`Server.rate` counts requests), `fromDate` of the analytics, drafts
and old versions of a single page, and the latency of Atlassian's servers.

What it imitates: HTTP; both kinds of pagination with the links of real sites; limits, orders, filters and body
formats as contract.yaml declares them, with an error for undeclared ones; error bodies; a small invented company
(`company`) or a site of any size (`generate`); changes during a read (`Server.before`, the methods of `Site`); and
faults that a test injects (`Server.fail`).

    with Server(company()) as server:
        ...  # read from server.url as demo@example.com with demo-token
        assert server.requests_to("/wiki/api/v2/pages")

Atlassian's other hosts have the same address: the gateway at /ex/confluence/{cloudId}, for `Server.scoped_token` and
access tokens, and the token endpoint at /oauth/token, for `Server.oauth_app` and `Server.service_account`. Files
come from a separate port (`Server.media`), by signed URLs. The consent page is missing; tokens expire by
`Server.expire_tokens`.
"""

from fake_confluence.access import OAuthApp
from fake_confluence.company import company, exported_users
from fake_confluence.contract import Contract, Operation, Parameter, load_contract
from fake_confluence.generate import generate
from fake_confluence.server import Fault, Request, Server
from fake_confluence.site import Site

__all__ = [
    "Contract",
    "Fault",
    "OAuthApp",
    "Operation",
    "Parameter",
    "Request",
    "Server",
    "Site",
    "company",
    "exported_users",
    "generate",
    "load_contract",
]
