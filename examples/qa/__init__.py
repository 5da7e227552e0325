"""A question-and-answer site over the data of a Stack Exchange dump: the example that runs batchio on a real page.

Where to look:

- ``pages.py`` is the point of it all: small render functions, one per item, each asking for its own data.
- ``loaders.py`` says how each key type is fetched; ``primed.py`` is the same page written by hand, level by level.
- ``compare.py`` renders the page three ways and counts.
- ``app.py`` serves the site with aiohttp; ``forms.py`` is what changes it, and invalidates what it changed.
- ``dump.py``, ``generate.py`` and ``invented.py`` make a site; ``schema.py`` says what is in it.
- ``places.py`` says where a site and its cache live: in a file (``store.py``) or in MySQL (``mysql.py``, ``transfer.py``).
"""
