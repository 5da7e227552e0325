from store import save
import batchio


async def keep(x):
    await save(x)
    await batchio.gather(save(x), save(x + 1))
