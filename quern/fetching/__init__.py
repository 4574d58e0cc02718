"""Source files: fetched by quern itself before anything is built, so that no ebuild ever runs with the network.

    plan's URIs, Manifest ──uris──▶ places of each file ──sources──▶ several files at once
                                                            │
                              one file ◀──download──────────┘
                                 │  web: http, https, ftp, file
                                 ▼  folder: NAME.__download__, checked while it is written
                              distfiles/NAME

A file is only ever fetched if a Manifest says its size and a digest of it (GLEP 74).
"""
