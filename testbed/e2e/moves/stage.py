"""What both clouds hold before the first move: the neighbours, which stay, and the application on its first site."""

from collections import Counter
from dataclasses import dataclass

from . import application
from .application import SITES, SOURCE, TARGET, VOLUMES
from .census import Census, census


@dataclass
class Stage:
    """What must be on each site."""

    # By site, with the application elsewhere.
    without: dict[str, Census]
    # By site, with the application on it.
    with_it: dict[str, Counter]

    def problems(self, site, is_here):
        """What is too many and what is missing on a site, by listing everything; whether the application is on it."""
        expected = self.with_it[site] if is_here else self.without[site].lines
        yield from census(site).problems(expected, self.without[site])


def set_up(group, all_running=False):
    """Makes the neighbours and the application, with all its servers running or one of them stopped, and protects it."""
    stage = build(all_running)
    group.protect()
    return stage


def build(all_running=False):
    """The same without the protection."""
    networks = {site: application.make_neighbours(site) for site in SITES}
    without = {site: census(site) for site in SITES}
    application.make(networks[SOURCE], all_running)
    here = census(SOURCE).lines
    own = here - without[SOURCE].lines
    size = sum(volume.size for volume in VOLUMES)
    counts = f"{len(application.SERVERS)} servers, {len(VOLUMES)} volumes of {size} GiB"
    print(f"  The application: {counts}; {len(own)} of the {len(here)} different things on {SOURCE}.", flush=True)
    return Stage(without, {SOURCE: here, TARGET: without[TARGET].lines + own})
