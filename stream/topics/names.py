"""Names of those topics of our own that the configuration does not name: made of a group's or another topic's."""


def journal(group: str, topic: str) -> str:
    """The journal of calls that must not be repeated, one for each source topic of a destination's *group*."""
    return f"{group}.{topic}.journal"


def state(group: str, topic: str) -> str:
    """The changelog of what a destination's *group* remembers of a source topic; compacted."""
    return f"{group}.{topic}.state"


def erasures(requests: str) -> str:
    """Who was erased, beside the topic of privacy *requests*; compacted."""
    return f"{requests}.erasures"


def replays(dead_letters: str) -> str:
    """Which of the *dead_letters* were replayed or discarded; compacted. Also a transactional id."""
    return f"{dead_letters}.replays"
