"""What a push server is told when it starts: every limit and time, with its default."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from realtime_core.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Limits in bytes or pieces, times in seconds; 0 turns off what is marked so.

    Attributes:
        host: an address, or ``localhost``; beyond loopback only with ``public``.
        port: 0 takes any free one.
        public: whether an address beyond loopback may be listened on. Publishing stays loopback's own all the same.
        admin: whether DELETE removes a channel.
        max_message: longest body of a publish.
        max_head: longest request line and headers together.
        max_channels: most channels that exist at a time.
        max_subscribers_per_channel: 0 is no limit but that of open files.
        outbox_bytes: most bytes that wait for one subscriber, beside what the kernel holds; then it is dropped.
        store: messages kept a channel, 0 keeps none.
        store_ttl_s: how long a message is kept.
        store_channel_bytes: most bytes kept a channel.
        store_bytes: most bytes kept in all channels together.
        ping_s: how often every subscriber gets a comment, 0 never.
        connection_ttl_s: a subscriber's longest stay, 0 for ever.
        send_timeout_s: how long a peer may leave everything unread that waits for it.
        request_timeout_s: how long a request may take to arrive, from its first byte.
        idle_timeout_s: how long a connection may stay without a request.
    """

    host: str = "127.0.0.1"
    port: int = 0
    public: bool = False
    admin: bool = False
    max_message: int = 65_536
    max_head: int = 16_384
    max_channels: int = 100_000
    max_subscribers_per_channel: int = 0
    outbox_bytes: int = 1_048_576
    store: int = 0
    store_ttl_s: float = 1800.0
    store_channel_bytes: int = 524_288
    store_bytes: int = 67_108_864
    ping_s: float = 25.0
    connection_ttl_s: float = 0.0
    send_timeout_s: float = 30.0
    request_timeout_s: float = 10.0
    idle_timeout_s: float = 300.0

    def __post_init__(self) -> None:
        if not self.public and not is_loopback(self.host):
            raise ConfigurationError(
                f"listening on {self.host} is open to everyone who reaches it: "
                "use an address of loopback (127.0.0.1), or say --public"
            )
        for name in ("max_message", "max_head", "max_channels", "outbox_bytes", "store_channel_bytes", "store_bytes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name}={getattr(self, name)}: at least 1 is needed")
        for name in ("store_ttl_s", "send_timeout_s", "request_timeout_s", "idle_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name}={getattr(self, name)}: more than 0 seconds are needed")
        for name in ("max_subscribers_per_channel", "store", "ping_s", "connection_ttl_s"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"{name}={getattr(self, name)}: 0 turns it off, less is nothing")


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine; a name other than ``localhost`` never counts as one."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
