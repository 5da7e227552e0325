from store import f
import batchio


async def many(xs):
    ys = await batchio.gather([f(x) for x in xs])
    zs = await batchio.gather([
        f(x)
        for x in ys
        if x  # only those
    ])
    return ys + zs + await batchio.gather([])
