import batchio.tools


class A:
    async def get_async(self):
        return 1

    def get(self):
        return batchio.tools.run_sync(self.get_async())

    async def both(self):
        return await self.get_async()
