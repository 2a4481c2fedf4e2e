"""As many requests a second as wanted, whether they are answered or not: `python flood.py PORT PATH RATE SECONDS BODY KIND`.

A request's time counts from the moment at which it was due, so that a late answer delays no other. Prints JSON: by status
how many, and the median and the 99th percentile in ms; how late the requests were sent (99th percentile); and how many found
no free connection and were not sent at all."""
import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np

MOST = 1000 # connections


class Client(asyncio.Protocol):
    def __init__(self, flood): self.flood, self.kept, self.due = flood, b"", 0.
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        self.kept += data
        end = self.kept.find(b"\r\n\r\n")
        if end < 0: return
        head = self.kept[:end].lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(self.kept) < end + 4 + length: return
        self.flood.found.append((int(head[9:12]), time.perf_counter() - self.due))
        self.kept, self.due = b"", 0.
        if b"connection: close" in head: self.transport.close()
        else: self.flood.free.append(self)
    def connection_lost(self, error):
        if self.due: self.flood.found.append((0, time.perf_counter() - self.due))
        self.flood.open -= 1
        if self in self.flood.free: self.flood.free.remove(self)


class Flood:
    def __init__(self, port, path, rate, seconds, body, kind):
        self.port, self.rate, self.seconds = int(port), float(rate), float(seconds)
        content = Path(body).read_bytes()
        self.request = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
        self.free, self.found, self.late, self.open, self.unsent = [], [], [], 0, 0

    def send(self, due):
        client = self.free.pop()
        client.due = due
        self.late.append(time.perf_counter() - due)
        client.transport.write(self.request)

    async def connect(self, count):
        loop = asyncio.get_running_loop()
        for _ in range(count):
            self.open += 1
            _, client = await loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
            self.free.append(client)

    async def run(self):
        await self.connect(MOST) # also when few are needed: memory is compared with as many clients
        began, sent = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < self.seconds:
            while sent < passed*self.rate:
                if self.free: self.send(began + sent/self.rate)
                else: self.unsent += 1
                sent += 1
            await asyncio.sleep(.001)
        for _ in range(300):
            if len(self.free) >= self.open: break
            await asyncio.sleep(.1)

    def told(self) -> dict:
        by = {status: 1000*np.array([took for code, took in self.found if code == status]) for status in sorted({code for code, _ in self.found})}
        return {"status": {status: {"count": len(times), "median_ms": float(np.median(times)), "p99_ms": float(np.quantile(times, .99))} for status, times in by.items()},
                "late_ms": float(1000*np.quantile(self.late, .99)), "unsent": self.unsent}


if __name__ == "__main__":
    try: import uvloop
    except ImportError: uvloop = asyncio
    flood = Flood(*sys.argv[1:])
    uvloop.run(flood.run())
    print(json.dumps(flood.told()))
