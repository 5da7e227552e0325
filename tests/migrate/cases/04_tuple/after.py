from store import f, g
import batchio


async def pair(x):
    a, b = await batchio.gather(f(x), g(x))
    c, d = await batchio.gather(f(a), g(b))
    e = await batchio.gather(
        f(c),  # first
        g(d),  # second
    )
    one = await batchio.gather(f(x))
    all_of_them = await batchio.gather(tuple(f(i) for i in e))
    mixed, more = await batchio.gather((f(x), [g(i) for i in e]))
    return a, b, c, d, e, one, all_of_them, mixed, more
