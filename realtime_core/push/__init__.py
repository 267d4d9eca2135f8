"""The embedded push server: HttpPushStreamModule's HTTP interface, for machines without a push module."""
