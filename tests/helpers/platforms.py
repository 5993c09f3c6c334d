"""Marks for tests of what one system has only; a reason says what the others lack."""

import os
import sys

import pytest


def linux_only(reason):
    return pytest.mark.skipif(sys.platform != "linux", reason=reason)


def posix_only(reason):
    return pytest.mark.skipif(os.name == "nt", reason=reason)
