import threading

from store import client
import batchio
import typing


# what callers make
class _LookupKey(typing.NamedTuple):
    kind: object
    key: object


@batchio.loader(memo=False)
async def _load_lookup(keys):
    """One call for each kind."""
    answers = {}
    for kind in {item.kind for item in keys}:
        found = client.get(kind, [item.key for item in keys if item.kind == kind])
        for item in keys:
            if (item in answers) or item.kind != kind:
                continue
            try:
                answers[item] = found[item.key]
            except KeyError as error:
                answers[item] = error
    return answers


def Lookup(kind, key=None):
    return _load_lookup(_LookupKey(kind, key))


async def both(key):
    return await batchio.gather(Lookup("user", key), Lookup("photo", key=key))
