from store import f
import batchio


async def by_key(keys):
    found = await batchio.gather({k: f(k) for k in keys})
    more = await batchio.gather({"a": f(1), "b": f(2)})
    return {**found, **more}
