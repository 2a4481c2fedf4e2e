"""What every route owes whoever asks, whatever is asked: no way out of its folder, no fault of ours, its own errors only."""
import http.client
import itertools
import json

import pytest

UP = ["..", "%2e%2e", "%2E.", "..%2f", "..%5c", "%252e%252e", "..;", "....//", "..%c0%af", "%00..", "\\..\\..", "~", "*", "CON", "."]
ENDS = ["data/keys/signing.pem", "etc/passwd", "data%2fkeys%2fsigning.pem", "data/serving/shades/slots.json", "proc/self/environ", "%2fetc%2fpasswd", "C:%5cWindows"]
SECRET = "a secret that nobody is to read"


def variants() -> list[str]:
    "Two hundred ways to say a file that is none of a client's business."
    found = ["/".join([way]*depth + [end]) for way, end, depth in itertools.product(UP, ENDS, (1, 4))]
    return [*found, "/etc/passwd", "//etc/passwd", "file:///etc/passwd", "%0d%0aX-Mine: 1", "a"*5000, "%ff%fe", "\u00fc".encode("latin-1").decode("latin-1").encode("unicode_escape").decode(), "{id}", "1 OR 1=1", "<script>"]


def ask(wire, method: str, path: str, body: bytes | None = None):
    "Status and content of a path as it stands, without anybody making it nicer."
    wire.putrequest(method, "/", skip_host=True)
    wire._buffer[0] = f"{method} {path} HTTP/1.1".encode("latin-1") # the library would refuse some of them
    wire.putheader("Host", "x")
    if body is not None: wire.putheader("Content-Length", str(len(body)))
    wire.endheaders(body)
    found = wire.getresponse()
    return found.status, found.read()


def places() -> list[tuple[str, str]]:
    "Each place of each route where a client may say a name."
    from fashion_mlops.service.application import ROUTES
    return sorted({(route.method, route.path) for route in ROUTES if "{" in route.path}) + [("GET", "/{anything}"), ("POST", "/predict/{anything}"), ("GET", "/docs/{anything}")]


@pytest.mark.slow
def test_no_name_leads_out_of_its_folder(server, tmp_path):
    assert len(variants()) >= 200
    (tmp_path/"data"/"keys").mkdir(parents=True)
    (tmp_path/"data"/"keys"/"signing.pem").write_text(SECRET)
    running = server(model="pictures", log={})
    before = sorted(path for path in tmp_path.rglob("*") if "log" not in path.parts)
    for method, path in places():
        start, rest = path.split("{", 1)
        for name in variants():
            wire = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
            status, content = ask(wire, method, start + name.replace(" ", "%20") + rest.partition("}")[2].replace("{", "").replace("}", ""), b"" if method == "POST" else None)
            wire.close()
            assert 400 <= status < 500, (method, path, name, status, content[:200])
            assert SECRET.encode() not in content and b"root:" not in content
            assert b"<script>" not in content or content.startswith(b"{") # as JSON, which nothing renders
    assert sorted(path for path in tmp_path.rglob("*") if "log" not in path.parts) == before
    assert running.ask("/health/ready")[0] == 200


def test_names_in_headers_and_bodies_stay_names(server):
    running = server(model="pictures", log={})
    for name in ("../../data/keys/signing.pem", "/etc/passwd", "a\r\nx: y", "x"*300):
        status, said, headers = running.ask("/feedback", json.dumps({"id": name, "label": "dark"}).encode(), content_type="application/json")
        assert status == 404 and said["error"]["kind"] == "unknown_id"
    for sent in ("../../x", "a b", "x"*65, "<b>"):
        assert running.ask("/version", x_request_id=sent)[2]["x-request-id"] != sent
    assert running.ask("/version", x_request_id="mine-7.a_b")[2]["x-request-id"] == "mine-7.a_b"
