"""Crash injection: is any moment safe to be killed at?

    python -m tests.crashes --changes 50 --moments 60 --full 20 --damages 50 --seed 1

hook        what ends doit, or the worker that it waits for, at one chosen change of the file system
bench       a small project with two states of its inputs, and its work folder as it is before each step
trials      a cut, what the next run makes of it, and what must be true then
damages     what was made is damaged between two runs instead
"""
