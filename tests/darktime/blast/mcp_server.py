"""A server of the official MCP SDK with one tool, which tells its progress as an event after another: somebody else's streams."""

import sys

import anyio
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("words", log_level="ERROR")


@server.tool()
async def words(count: int, first_ms: float, between_ms: float, ctx: Context) -> str:
    """``count`` notifications of progress, the first after ``first_ms``, then one every ``between_ms``."""
    for number in range(count):
        await anyio.sleep((between_ms if number else first_ms) / 1000)
        await ctx.report_progress(number + 1, count, f"word {number}")
    return "done"


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]), stateless_http=True)
