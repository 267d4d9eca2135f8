"""What ``/channels-stats`` and a publish tell about channels, in the module's JSON and plain forms. Pure.

Channel ids need no escaping: those that would are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class ChannelFigures(NamedTuple):
    """One channel as statistics show it."""

    channel: str
    published: int
    stored: int
    subscribers: int


class ServerFigures(NamedTuple):
    """The server as statistics show it. ``time`` is local time as ISO 8601, ``uptime`` whole seconds."""

    hostname: str
    time: str
    pid: int
    uptime: int
    channels: int
    published: int
    stored: int
    subscribers: int


def channel_json(figures: ChannelFigures) -> str:
    """One channel, without the end of its line."""
    return (
        f'{{"channel": "{figures.channel}", "published_messages": {figures.published}, '
        f'"stored_messages": {figures.stored}, "subscribers": {figures.subscribers}}}'
    )


def one_channel(figures: ChannelFigures, *, plain: bool) -> bytes:
    """The reply about one channel."""
    return ((_channel_plain(figures) if plain else channel_json(figures)) + "\r\n").encode()


def several_channels(server: ServerFigures, channels: Iterable[ChannelFigures], *, plain: bool) -> bytes:
    """The reply about a group of channels, which may be empty."""
    if plain:
        infos = "".join(f"{_channel_plain(figures)}\r\n" for figures in channels)
        return f"{_lines(_group_fields(server))}infos:\r\n{infos}\r\n".encode()
    infos = ",\r\n".join(map(channel_json, channels))
    return f'{{{_members(_group_fields(server))}, "infos": [\r\n{infos}\r\n]}}\r\n'.encode()


def summary(server: ServerFigures, *, plain: bool) -> bytes:
    """The reply about the server as a whole."""
    fields: list[tuple[str, str | int]] = [
        ("hostname", server.hostname),
        ("time", server.time),
        ("channels", server.channels),
        ("wildcard_channels", 0),
        ("published_messages", server.published),
        ("stored_messages", server.stored),
        ("messages_in_trash", 0),
        ("channels_in_delete", 0),
        ("channels_in_trash", 0),
        ("subscribers", server.subscribers),
        ("uptime", server.uptime),
    ]
    if plain:
        worker = f"  pid: {server.pid}\r\n  subscribers: {server.subscribers}\r\n  uptime: {server.uptime}\r\n"
        return f"{_lines(fields)}by_worker:\r\n{worker}".encode()
    worker = f'{{"pid": "{server.pid}", "subscribers": {server.subscribers}, "uptime": {server.uptime}}}'
    return f'{{{_members(fields)}, "by_worker": [\r\n{worker}\r\n]}}\r\n'.encode()


def _group_fields(server: ServerFigures) -> list[tuple[str, str | int]]:
    return [
        ("hostname", server.hostname),
        ("time", server.time),
        ("channels", server.channels),
        ("wildcard_channels", 0),
        ("uptime", server.uptime),
    ]


def _channel_plain(figures: ChannelFigures) -> str:
    return (
        f"channel: {figures.channel}\r\npublished_messages: {figures.published}\r\n"
        f"stored_messages: {figures.stored}\r\nactive_subscribers: {figures.subscribers}"
    )


def _members(fields: Sequence[tuple[str, str | int]]) -> str:
    return ", ".join(
        f'"{name}": "{value}"' if isinstance(value, str) else f'"{name}": {value}' for name, value in fields
    )


def _lines(fields: Sequence[tuple[str, str | int]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in fields)
