"""A small site to begin with."""

from fake_confluence.generate import generate
from fake_confluence.site import Site


def company() -> Site:
    """Return the default site."""
    return generate(pages=150, spaces=12, blog_posts=20, groups=8, users=40, audit_events=300)
