"""``batchio migrate``: changes code that was written for another library into code for batchio.

Rules of this house in the house:

- It imports nothing of batchio, and nothing of batchio imports it: one is a tool for files, the other a library.
- libcst comes in here and nowhere else. ``import batchio`` does not need it; ``pip install "batchio[migrate]"`` brings it.
- What is certain is changed, what is not is left alone, and a human is told where and why.

The trip of a file: ``_files`` finds and reads it, ``_spelling`` makes old Python of it new, ``_index`` says what it
defines, ``_world`` what its names stand for among all the files, ``_convert`` changes it (``_batches`` its batch classes,
``_rewrite`` its code, ``_imports`` its imports), ``_report`` tells, ``_write`` writes all of them or none. ``_run`` is the
whole trip, ``_cli`` its door.
"""

from batchio.migrate._cli import main

__all__ = ["main"]
