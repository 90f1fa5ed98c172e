"""A Confluence Cloud site on the loopback interface, for the demo, tests and benchmarks.

What it does not imitate: permissions of single people (who signs in sees everything), writing
through the API, rendering (`view` and its relatives are the storage format), search beyond the
few CQL queries that we send and its delay, rate limits by points (`Server.rate` counts
requests), `fromDate` of the analytics, drafts and old versions of a single page, and the time
that Atlassian's own servers take.

What it does: real HTTP; both paging styles as they are on the wire; limits, orders, filters and
body formats as contract.yaml declares them, and refusal of what it does not declare; error
bodies; a small invented company (`company`) or a site of any size (`generate`); changes while a
read is under way (`Server.before`, the methods of `Site`); and failures to order (`Server.fail`).

    with Server(company()) as server:
        ...  # read from server.url as demo@example.com with demo-token
        assert server.requests_to("/wiki/api/v2/pages")

Atlassian's other hosts are played at the same address: the gateway at /ex/confluence/{cloudId}, for
`Server.scoped_token` and access tokens, and the token endpoint at /oauth/token, for `Server.oauth_app`
and `Server.service_account`. Files come from a port of their own (`Server.media`), by signed addresses. Not
played: the consent page, and days going by (`Server.expire_tokens`).
"""

from fake_confluence.access import OAuthApp
from fake_confluence.company import company
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
    "generate",
    "load_contract",
]
