"""Free ports of loopback, and waiting until something is so."""
import socket
import time


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held: one.close()
    return ports


def until(found, seconds: float = 20):
    ends = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < ends, "it did not become so"
        time.sleep(0.02)
