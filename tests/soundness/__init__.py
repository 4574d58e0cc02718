"""Soundness by brute force: would quern notice whatever changes what an image is made of?

    python -m tests.soundness --mutations 2000 --seed 1

tree        a generated project: a main repository, two overlays, profiles, an image
edits       changes of files that can be taken back
ebuilds, profiles, metadata, unchanged      the mutations
resolver    Portage's resolver, forked from a process that has it imported
oracle      what a fresh resolve says, and what is in the files that would be built from
decision    what quern says: the only module that knows how it decides
trials      a mutation, both answers, and back
"""
