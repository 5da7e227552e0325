"""Sites for the tests of examples/qa: a tiny dump written by the tests themselves, and a small generated site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from examples.qa import __main__ as command

# Two questions, of which one is by a deleted user; three answers, one of them to a question that is gone; a tag wiki.
# Line 1 is the declaration and line 2 the root, so the first row stands on line 3.
TINY = {
    "Users": """
  <row Id="-1" Reputation="1" DisplayName="Community" CreationDate="2011-08-17T18:34:28.000" />
  <row Id="2" Reputation="101" DisplayName="Ada Lovelace" CreationDate="2011-08-17T19:30:44.000" Location="London"
       AboutMe="&lt;p&gt;I write notes.&lt;/p&gt;" WebsiteUrl="https://ada.example/" />
  <row Id="3" Reputation="7" DisplayName="Grete" CreationDate="2011-08-18T08:00:00.000" />""",
    "Posts": """
  <row Id="1" PostTypeId="1" AcceptedAnswerId="11" CreationDate="2011-08-17T20:18:56.507" ViewCount="295"
       Body="&lt;p&gt;How?&lt;/p&gt;" OwnerUserId="2" Title="How does it loop?" Tags="&lt;loops&gt;&lt;engines&gt;" />
  <row Id="4" PostTypeId="1" CreationDate="2011-08-19T20:18:56.507" ViewCount="900" Body="&lt;p&gt;Why?&lt;/p&gt;"
       OwnerDisplayName="user22" Title="Why does it stop?" Tags="|loops|" />
  <row Id="10" PostTypeId="2" ParentId="1" CreationDate="2011-08-18T20:00:00.000" Body="Slowly." OwnerUserId="3" />
  <row Id="11" PostTypeId="2" ParentId="1" CreationDate="2011-08-19T20:00:00.000" Body="In turns." OwnerUserId="77" />
  <row Id="12" PostTypeId="2" ParentId="99" CreationDate="2011-08-19T20:00:00.000" Body="To whom?" OwnerUserId="3" />
  <row Id="13" PostTypeId="5" CreationDate="2011-08-19T20:00:00.000" Body="A wiki." OwnerUserId="3" />""",
    "Tags": """
  <row Id="1" TagName="loops" Count="2" />""",
    "Comments": """
  <row Id="1" PostId="1" Score="3" Text="Which one?" CreationDate="2011-08-17T20:32:41.193" UserId="3" />
  <row Id="2" PostId="1" Text="Gone by now" CreationDate="2011-08-17T20:33:41.193" UserDisplayName="user9" />
  <row Id="3" PostId="12" Text="On an orphan" CreationDate="2011-08-17T20:34:41.193" UserId="2" />""",
    "Votes": """
  <row Id="1" PostId="1" VoteTypeId="2" CreationDate="2011-08-17T00:00:00.000" />
  <row Id="2" PostId="1" VoteTypeId="2" CreationDate="2011-08-17T00:00:00.000" />
  <row Id="3" PostId="1" VoteTypeId="3" CreationDate="2011-08-17T00:00:00.000" />
  <row Id="4" PostId="1" VoteTypeId="2" CreationDate="2011-08-17T00:00:00.000" />
  <row Id="5" PostId="10" VoteTypeId="2" CreationDate="2011-08-17T00:00:00.000" />
  <row Id="6" PostId="4" VoteTypeId="5" UserId="2" CreationDate="2011-08-17T00:00:00.000" />
  <row Id="7" PostId="999" VoteTypeId="2" CreationDate="2011-08-17T00:00:00.000" />
  <row Id="8" PostId="1" VoteTypeId="15" CreationDate="2011-08-17T00:00:00.000" />""",
    "Badges": """
  <row Id="1" UserId="2" Name="Teacher" Date="2011-08-17T19:49:15.197" Class="1" TagBased="False" />
  <row Id="2" UserId="404" Name="Teacher" Date="2011-08-17T19:49:15.197" Class="3" TagBased="False" />""",
    "PostLinks": """
  <row Id="50" CreationDate="2011-08-17T21:28:46.500" PostId="1" RelatedPostId="4" LinkTypeId="3" />
  <row Id="51" CreationDate="2011-08-17T21:28:46.500" PostId="1" RelatedPostId="999" LinkTypeId="1" />""",
}

WriteDump = Callable[..., Path]


def xml_of(name: str, rows: str) -> str:
    """A file of a dump, with the byte order mark that real ones have."""
    return f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n<{name.lower()}>{rows}\n</{name.lower()}>\n'


@pytest.fixture
def write_dump(tmp_path: Path) -> WriteDump:
    """Writes the tiny dump; a file given by name takes the place of its own, whole."""

    def write(**files: str) -> Path:
        folder = tmp_path / "dump"
        folder.mkdir()
        for name, rows in TINY.items():
            (folder / f"{name}.xml").write_text(files.get(name, xml_of(name, rows)), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def tiny_site(write_dump: WriteDump, tmp_path: Path) -> Path:
    """The database of the tiny dump."""
    path = tmp_path / "tiny.db"
    assert command.main(["import", "--data", str(write_dump()), "--to", f"sqlite:{path}"]) == 0
    return path


@pytest.fixture
def tiny_mysql(write_dump: WriteDump, mysql_url: str) -> str:
    """The address of the tiny dump in MySQL."""
    assert command.main(["import", "--data", str(write_dump()), "--to", mysql_url]) == 0
    return mysql_url


@pytest.fixture(scope="session")
def generated_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a generated site; nobody writes to it."""
    path = tmp_path_factory.mktemp("qa") / "site.db"
    assert command.main(["generate", "--questions", "200", "--to", f"sqlite:{path}"]) == 0
    return path
