"""The steps of an image, one module each, in the order in which they run.

portage ──▶ packages ──▶ root ──▶ strip ──▶ tarball ──▶ image
"""
