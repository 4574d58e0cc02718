"""Tests; test_<module>.py mirrors quern/<module>.py."""
