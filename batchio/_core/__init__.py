"""The machine. Private, and empty on purpose: files import files, never this face.

    floor 4   loader                          the trip of a key: load, memo, queue
    floor 3   dispatch                        a batch under way: cache, batch function, answers
    floor 2   batch   tick   scope   hints    what goes together, when it leaves, what is remembered,
                                              what a beginner is told
    floor 1   errors  events  cache  options  what a caller, an observer, a store and a definition say

An arrow between files goes down a floor, never up and never sideways. Only tick, hints, dispatch and loader know
asyncio: what goes together is decided by plain functions over plain data, which a test can drive without a loop.
"""
