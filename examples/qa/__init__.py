"""A question-and-answer site over the data of a Stack Exchange dump: the example that runs batchio on a real page.

Where to look:

- ``pages.py`` is the point of it all: small render functions, one per item, each asking for its own data.
- ``loaders.py`` says how each key type is fetched; ``primed.py`` is the same page written by hand, level by level.
- ``compare.py`` renders the page three ways and counts; ``app.py`` serves the site with aiohttp.
- ``dump.py``, ``generate.py``, ``invented.py`` and ``store.py`` make the database; ``schema.py`` says what is in it.
"""
