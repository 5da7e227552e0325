"""How questions, answers and comments look: records in, HTML out.

Rules of this room: no data is asked for here, so that the pages and the hand-primed twin, which differ only in how
they come by their records, give the same bytes. Styles are in the style sheet: the site's policy allows no other.
"""

from __future__ import annotations

from collections.abc import Sequence

from .html import NOTHING, Html, clean, count, date, join, markup, remark
from .people import follow_button, user_link
from .records import NOBODY, Comment, Link, Post, Tag, User, Votes

LONG = 1_800  # characters of a body that a feed cuts short, with a way to the whole


def question(
    me: int,
    post: Post,
    tags: Sequence[Tag],
    votes: Votes,
    mine: int,
    followed: int,
    links: Sequence[Link],
    asker: Html,
    remarks: Html,
    replies: Sequence[Html],
    *,
    unfolded: bool = False,
) -> Html:
    """A whole question, with all that was said under it."""
    return markup(
        _QUESTION,
        id=post.id,
        title=post.title,
        date=date(post.created),
        views=count(post.views, "view"),
        follow=follow_button(me, "question", post.id, followed),
        tags=join(_tag(tag) for tag in tags),
        votes=vote_box(me, post.id, votes, mine),
        body=clean(post.body),
        long=NOTHING if unfolded or len(post.body) < LONG else markup(_LONG, id=post.id),
        asker=asker,
        links=_links(links),
        remarks=remarks,
        replies=_replies(replies, unfolded),
    )


def _replies(replies: Sequence[Html], unfolded: bool) -> Html:
    if not replies:
        return Html('<p class="quiet">No answer yet.</p>')
    return markup(
        '<details class="answers"{open}><summary>{count}</summary>\n{replies}</details>',
        open=Html(" open") if unfolded else NOTHING,
        count=count(len(replies), "answer"),
        replies=join(replies),
    )


def answer(me: int, post: Post, votes: Votes, mine: int, author: Html, remarks: Html, *, accepted: bool) -> Html:
    """An answer and its comments."""
    return markup(
        _ANSWER,
        id=post.id,
        kind="answer accepted" if accepted else "answer",
        mark=Html('<p class="mark">Accepted by the asker</p>') if accepted else NOTHING,
        date=date(post.created),
        votes=vote_box(me, post.id, votes, mine),
        body=clean(post.body),
        author=author,
        remarks=remarks,
    )


def vote_box(me: int, post: int, votes: Votes, mine: int) -> Html:
    """The score between two arrows; the viewer's own vote is lit, and a second press takes it back."""
    values = {"id": post, "score": votes.ups - votes.downs, "ups": votes.ups, "downs": votes.downs}
    if me == NOBODY:
        return markup(_VOTES_SEEN, **values)
    up, down = mine > 0, mine < 0
    return markup(_VOTES, **values, up=int(not up), down=int(down) - 1, up_on=_flag(up), down_on=_flag(down))


def _flag(on: bool) -> str:
    return "true" if on else "false"


def comments(me: int, post: int, items: Sequence[Html]) -> Html:
    """The remarks under a post, and a place to add one."""
    shown = markup('<ul class="comments">\n{items}</ul>\n', items=join(items)) if items else NOTHING
    return join((shown, NOTHING if me == NOBODY else markup(_REMARK, id=post)))


def comment(said: Comment, user: User) -> Html:
    """One remark."""
    return markup(
        _COMMENT,
        id=said.id,
        score=markup('<b title="found useful">{score}</b> ', score=said.score) if said.score > 0 else NOTHING,
        text=remark(said.text),
        name=user_link(user, said.user_name),
        date=date(said.created),
    )


def _tag(tag: Tag) -> Html:
    return markup('<li title="{uses}">{name}</li>', uses=count(tag.uses, "question"), name=tag.name)


def _links(links: Sequence[Link]) -> Html:
    if not links:
        return NOTHING
    lines = (
        markup('<li><a href="/q/{id}">{title}</a>{same}</li>\n', id=to.related_id, title=to.title, same=_same(to.kind))
        for to in links
    )
    return markup('<aside class="links"><h3>Linked</h3><ul>\n{lines}</ul></aside>\n', lines=join(lines))


def _same(kind: int) -> Html:
    return Html(' <span class="quiet">(duplicate)</span>') if kind == 3 else NOTHING


def feed(questions: Sequence[Html], pager: Html = NOTHING) -> Html:
    """Many questions."""
    return markup(_FEED, questions=join(questions), pager=pager)


def pager(page: int, more: bool) -> Html:
    """The way to the pages before and after."""
    before = markup(_TURN, to=page - 1, rel="prev", word="Previous") if page > 1 else NOTHING
    after = markup(_TURN, to=page + 1, rel="next", word="Next") if more else NOTHING
    return markup(_PAGER, before=before, page=page, after=after)


_FEED = """<h1>Most viewed questions</h1>
<div class="feed">
{questions}</div>
{pager}"""

_TURN = """<a class="button" href="/?page={to}" rel="{rel}">{word}</a>"""

_PAGER = """<nav class="pager" aria-label="Pages">{before}<span>Page {page}</span>{after}</nav>"""

_QUESTION = """<article class="post question" id="p{id}">
{votes}
<div class="said">
<h2><a href="/q/{id}">{title}</a></h2>
<div class="facts">asked {date} · {views} {follow}</div>
<ul class="tags">{tags}</ul>
<div class="body">{body}</div>
{long}{asker}
{links}{remarks}{replies}
</div>
</article>
"""

_LONG = """<p class="more"><a href="/q/{id}">Read it whole</a></p>
"""

_ANSWER = """<article class="post {kind}" id="p{id}">
{votes}
<div class="said">
{mark}<div class="body">{body}</div>
<p class="facts">answered {date}</p>
{author}
{remarks}
</div>
</article>
"""

_VOTES = """<form class="votes" method="post" action="/vote">
<input type="hidden" name="post" value="{id}">
<button name="value" value="{up}" aria-pressed="{up_on}" aria-label="Vote for">▲</button>
<b title="{ups} for, {downs} against">{score}</b>
<button name="value" value="{down}" aria-pressed="{down_on}" aria-label="Vote against">▼</button>
</form>"""

_VOTES_SEEN = """<div class="votes">
<a href="/login" aria-label="Sign in to vote for">▲</a>
<b title="{ups} for, {downs} against">{score}</b>
<a href="/login" aria-label="Sign in to vote against">▼</a>
</div>"""

_REMARK = """<details class="remark"><summary>Add a comment</summary>
<form method="post" action="/comment"><input type="hidden" name="post" value="{id}">
<textarea name="text" rows="3" maxlength="600" required aria-label="Comment"></textarea>
<button>Comment</button></form></details>
"""

_COMMENT = """<li id="c{id}">{score}{text} <span class="by">{name} {date}</span></li>
"""
