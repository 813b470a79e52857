"""What endpoints are given."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from serve.following import Follower
from serve.release import Release


def get_follower(request: Request) -> Follower:
    """The application's follower."""
    follower: Follower = request.app.state.follower
    return follower


CurrentFollower = Annotated[Follower, Depends(get_follower)]


def get_release(follower: CurrentFollower) -> Release:
    """The release that this request is answered from, start to end."""
    return follower.current()


CurrentRelease = Annotated[Release, Depends(get_release)]
