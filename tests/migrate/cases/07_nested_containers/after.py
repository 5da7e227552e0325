from store import f
import batchio


async def page(x):
    return await batchio.gather({"one": f(1), "many": [f(2), (f(3), None)]})
