"""The machine. Private, and empty on purpose: files import files, never this face.

    floor 7   loader                          the loader as its users see it
    floor 6   enqueue                         the way of a load into the queue
    floor 5   dispatch                        a batch under way: cache, batch function, answers
    floor 4   tick                            when a queue leaves
    floor 3   queue                           the keys that wait, and what may leave now
    floor 2   batch   scope   hints           which result belongs to whom, what is remembered, what a beginner is told
    floor 1   errors  events  cache  options  what a caller, an observer, a store and a definition say

An arrow between files goes down a floor, never up and never sideways. Only tick, hints, dispatch, enqueue and
loader know asyncio: what goes together is decided by plain functions over plain data, which a test can drive without a loop.
"""
