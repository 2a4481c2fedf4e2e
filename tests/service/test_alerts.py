"""Alerts against what happens to them: kills, two checks at once, receivers that are slow, hostile or down, words of the data that want to be headers."""
import asyncio
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.alerts.book import SimpleCheck, book_folder, read_book
from fashion_mlops.alerts.events import Event
from fashion_mlops.alerts.file import default_text, rules_of, rules_path
from fashion_mlops.alerts.rules import Mail, Webhook
from fashion_mlops.alerts.sinks import send_mail, send_webhook
from fashion_mlops.alerts.conditions import Span
from fashion_mlops.alerts.ringing import firing, ring, undelivered

EVENT = Event("e1", "quakes", "answers-worse", "rang", "critical", "2026-11-28T06:00:00+00:00", "2026-11-28T04:00:00+00:00",
              "The answers are right less often.", "estimated.change", -0.08, -0.1, -0.06, "surely below -0.05",
              ["boot\r\nBcc: all@example.org", "<script>alert(1)</script>", "\u202e\x1b[2J"], "fashion-mlops monitor")


def look(number: int, changed: int) -> SimpleCheck:
    moment = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=number)
    return SimpleCheck(f"look {number}", moment, {"drift.changed": changed, "rows": 900})


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("TOY_SECRET", "correct horse battery staple")
    return tmp_path


RING = """
import sys
from tests_alerts import look
from fashion_mlops.alerts.ringing import ring
for word in sys.argv[1:]:
    number, changed = word.split(":")
    ring("toy", look(int(number), int(changed)), loud=False)
"""

def started(tmp_path, *words: str) -> subprocess.Popen:
    "A process that makes some checks."
    (tmp_path/"tests_alerts.py").write_text(f"from datetime import UTC, datetime, timedelta\nfrom fashion_mlops.alerts.book import SimpleCheck\n{look_source()}")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    return subprocess.Popen([sys.executable, "-c", RING, *words], env=env, stderr=subprocess.PIPE)

def look_source() -> str:
    import inspect
    return inspect.getsource(look)


STORY = [0, 1, 1, 1, 0, 0, 0, *[0]*10, 1, 1, 0, 0]

def expected() -> list[tuple]:
    return [("rang", "look 2"), ("resolved", "look 5"), ("rang", "look 18"), ("resolved", "look 20")]


@pytest.mark.slow
def test_checks_that_are_killed_and_made_again_count_once(home):
    draw, words = random.Random(0), [f"{number}:{changed}" for number, changed in enumerate(STORY)]
    for _ in range(12):
        process = started(home, *words)
        time.sleep(draw.uniform(0.15, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    last = started(home, *words)
    assert last.wait(60) == 0, last.stderr.read().decode()
    last.stderr.close()
    assert [(one.what, one.check) for one in read_book("toy").said] == expected()
    assert undelivered("toy")[0].startswith("Rules that this check does not speak of") # and nothing waits
    written = (book_folder("toy")/"alerts.log").read_text()
    for event in read_book("toy").said: assert event.id in written


@pytest.mark.slow
def test_two_that_check_at_once_count_each_check_once(home):
    ring("toy", look(0, 0), loud=False)
    pair = [started(home, *[f"{number}:{changed}" for number, changed in enumerate(STORY)]) for _ in range(3)]
    for process in pair:
        assert process.wait(60) == 0, process.stderr.read().decode()
        process.stderr.close()
    book = read_book("toy")
    assert sorted(book.seen) == sorted(f"look {number}" for number in range(len(STORY)))
    written = (book_folder("toy")/"alerts.log").read_text()
    assert [written.count(f" {event.id}\n") for event in book.said] == [1]*len(book.said)


def listening(answer) -> tuple[int, threading.Event]:
    "A port of loopback where `answer` gets each connection; set the event to end it."
    over, server = threading.Event(), socket.create_server(("127.0.0.1", 0))
    def run():
        server.settimeout(0.1)
        while not over.is_set():
            try: met = server.accept()[0]
            except TimeoutError: continue
            with met:
                try: answer(met, over)
                except OSError: pass
        server.close()
    threading.Thread(target=run, daemon=True).start()
    return server.getsockname()[1], over


def drips(met, over):
    "Answers a byte at a time, forever."
    met.recv(65536)
    met.sendall(b"2") # not even its first line ends
    while not over.wait(0.1): met.sendall(b"a")

def silent(met, over): over.wait(20)

def garbage(met, over):
    met.recv(65536)
    met.sendall(b"\x00\xff"*5000)

@pytest.mark.parametrize("answer", [drips, silent, garbage], ids=lambda one: one.__name__)
@pytest.mark.parametrize("kind", ["webhook", "mail"])
def test_no_receiver_holds_a_check_up(home, kind, answer):
    port, over = listening(answer)
    began = time.monotonic()
    with pytest.raises(WorkflowError) as error:
        if kind == "mail": send_mail(Mail("office", "127.0.0.1", "a@example.org", ("b@example.org",), port, "none", timeout=Span(0.4, "seconds")), EVENT)
        else: send_webhook(Webhook("team", f"http://127.0.0.1:{port}/", "env TOY_SECRET", Span(0.4, "seconds"), 1), EVENT)
    over.set()
    assert time.monotonic() - began < 15 # none of them would have ended by then
    assert "staple" not in str(error.value) and "127.0.0.1" not in str(error.value)


class Postbox:
    "An SMTP server: what it took, and an encrypted line where it has a certificate."
    def __init__(self, tls: ssl.SSLContext | None = None):
        self.mails, self.logins, self.ready, self.tls = [], [], threading.Event(), tls
        threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True).start()
        assert self.ready.wait(10)

    async def serve(self):
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        async with server: await server.serve_forever()

    async def talk(self, reader, writer):
        def say(text): writer.write(text.encode() + b"\r\n")
        say("220 postbox")
        while line := await reader.readline():
            word = line.decode().strip().upper()
            if word.startswith("EHLO"): say(f"250-postbox\r\n250-AUTH PLAIN\r\n250 {'STARTTLS' if self.tls else 'HELP'}")
            elif word == "STARTTLS":
                say("220 go on")
                await writer.drain()
                await writer.start_tls(self.tls)
            elif word.startswith("AUTH"):
                self.logins.append(line.decode().strip())
                say("235 known")
            elif word == "DATA":
                say("354 go on")
                await writer.drain()
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                say("250 taken")
            elif word == "QUIT":
                say("221 bye")
                break
            else: say("250 yes")
            await writer.drain()
        writer.close()


def certificate(tmp_path) -> ssl.SSLContext:
    "For localhost, believed by whoever reads it."
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    moment = datetime.now(UTC)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(moment - timedelta(hours=1)).not_valid_after(moment + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    (tmp_path/"cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path/"key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path/"cert.pem", tmp_path/"key.pem")
    return context


def test_a_mail_is_plain_text_and_no_word_of_the_data_becomes_a_header(home):
    postbox = Postbox()
    send_mail(Mail("office", "127.0.0.1", "alerts@example.org", ("team@example.org", "lead@example.org"), postbox.port, "none"), EVENT)
    mail = message_from_bytes(postbox.mails[0].removesuffix(b".\r\n"), policy=default)
    assert mail["Bcc"] is None and mail["To"] == "team@example.org, lead@example.org" and mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert "\nBcc" not in text and "\x1b" not in text and "\u202e" not in text and "boot Bcc: all@example.org" in text
    assert mail["Subject"] == "[critical] quakes: answers-worse rings"


def test_a_password_goes_over_tls_to_whose_certificate_it_is(home, monkeypatch):
    postbox = Postbox(certificate(home))
    sink = Mail("office", "localhost", "a@example.org", ("b@example.org",), postbox.port, "starttls", "alerts", "env TOY_SECRET")
    with pytest.raises(WorkflowError, match="certificate") as error: send_mail(sink, EVENT)
    assert not postbox.logins and "staple" not in str(error.value)
    monkeypatch.setenv("SSL_CERT_FILE", str(home/"cert.pem"))
    send_mail(sink, EVENT)
    assert len(postbox.logins) == len(postbox.mails) == 1


def test_a_server_that_offers_no_tls_gets_no_password(home):
    postbox = Postbox()
    with pytest.raises(WorkflowError) as error: send_mail(Mail("office", "127.0.0.1", "a@example.org", ("b@example.org",), postbox.port, user="a", password="env TOY_SECRET"), EVENT)
    assert not postbox.logins and not postbox.mails and "office" in str(error.value)


def test_rules_that_cannot_be_meant_stop_nothing_that_was_counted(home):
    for number in range(3): ring("toy", look(number, 1), loud=False)
    rules_path("toy").parent.mkdir(parents=True)
    rules_path("toy").write_text("rules: [{name: a}]")
    with pytest.raises(WorkflowError, match="data/alerts/toy.yaml, line 1: reads is missing"): ring("toy", look(3, 1), loud=False)
    assert [one.alert for one in firing("toy")] == ["inputs-changed"]
    rules_path("toy").unlink()
    assert ring("toy", look(3, 1), loud=False) == [] and [one.alert for one in firing("toy")] == ["inputs-changed"]


def test_no_secret_lands_in_the_book_the_log_or_the_numbers(home):
    port, over = listening(garbage)
    rules_path("toy").parent.mkdir(parents=True)
    rules_path("toy").write_text(default_text("toy").replace("sinks: [log]", "sinks: [log, team]").replace("sinks: {}",
        f'sinks: {{team: {{kind: webhook, address: "http://127.0.0.1:{port}/a-token-in-the-path", secret: env TOY_SECRET, tries: 1, timeout: 1 second}}}}'))
    for number in range(3): ring("toy", look(number, 1), loud=False)
    over.set()
    said = "".join(path.read_text() for path in home.rglob("*") if path.is_file() and path != rules_path("toy"))
    assert "could not be sent yet" in undelivered("toy")[0] and "team" in said
    assert "staple" not in said and "a-token" not in said + " ".join(undelivered("toy"))


@pytest.mark.parametrize("seed", range(40))
def test_a_file_that_was_damaged_anywhere_is_refused_in_words_or_still_meant(seed):
    "Characters changed, taken out and put in: never anything but rules or a sentence."
    draw, text = random.Random(seed), list(default_text("toy"))
    for _ in range(draw.randint(1, 6)):
        place = draw.randrange(len(text))
        text[place:place + draw.randint(0, 3)] = draw.choice(["", "{", "}", "[", ":", "\n", "  ", "*a", "&a ", "\t", "!!python/object:os.system ", "é", "- "])
    try: rules_of("".join(text), "toy.yaml")
    except WorkflowError as error: assert str(error).startswith("toy.yaml") and len(str(error)) < 20_000


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"alerts": {"a": {"state": "loud"}}}', "null", "\x00"])
def test_a_book_that_was_damaged_goes_aside_and_alerts_go_on(home, damage):
    for number in range(2): ring("toy", look(number, 1), loud=False)
    (book_folder("toy")/"book.json").write_text(damage)
    assert ring("toy", look(2, 1), loud=False) == []
    assert [one.what for one in ring("toy", look(3, 1), loud=False)] == ["rang"]
    assert any("damaged" in said for said in undelivered("toy"))


def test_alerts_are_quick_beside_a_check(home):
    "A hundred checks of a hundred rules."
    rules = "\n".join(f"  - {{name: rule-{number}, reads: rows, when: {{warning: below {number}}}, sinks: [log]}}" for number in range(100))
    rules_path("toy").parent.mkdir(parents=True)
    rules_path("toy").write_text("rules:\n" + rules)
    began = time.process_time()
    for number in range(5): ring("toy", look(number, 1), loud=False)
    assert (time.process_time() - began)/5 < 0.5


def speaking(answer) -> tuple[int, list[bytes]]:
    "A port of loopback that answers each request with what `answer` makes of its body, and what came."
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    heard = []
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(answer(heard[-1]))
            self.end_headers()
        def log_message(self, *_): pass
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port, heard

def told_to(port: int, *more: str):
    "Rules whose alerts `first` (drift.changed) and `second` (rows below 900) go to a webhook at a port."
    rules_path("toy").parent.mkdir(parents=True, exist_ok=True)
    rules_path("toy").write_text("\n".join(["rules:", "- {name: first, reads: drift.changed, when: {critical: at least 1}, sinks: [team]}",
        "- {name: second, reads: rows, when: {critical: below 900}, sinks: [team]}", "sinks:",
        f'  team: {{kind: webhook, address: "http://127.0.0.1:{port}/", secret: env TOY_SECRET, tries: 1}}', *more]))

@pytest.mark.parametrize("status", [400, 413, 500, 403])
def test_a_message_that_is_never_taken_stands_in_nobody_s_way_and_is_not_sent_for_ever(home, status):
    port, heard = speaking(lambda said: status if said["alert"] == "first" else 204)
    told_to(port)
    ring("toy", look(0, 1), loud=False)
    ring("toy", SimpleCheck("two", "2026-11-02T00:00", {"rows": 5, "drift.changed": 1}), loud=False)
    assert [one["alert"] for one in heard if one["alert"] == "second"] == ["second"]
    for number in range(60): ring("toy", look(100 + number, 1), loud=False)
    assert not read_book("toy").waiting
    tries = sum(one["alert"] == "first" for one in heard)
    assert tries == (1 if status in (400, 413) else 50)
    said = undelivered("toy", unread=False)
    assert f"answers {status}" in said[0] and "will not be sent any more" in said[0] and "first" in said[0]
    book_file = book_folder("toy")/"book.json"
    kept = json.loads(book_file.read_text())
    for one in kept["gone"]: one["moment"] -= 8*86400
    book_file.write_text(json.dumps(kept))
    ring("toy", look(500, 1), loud=False)
    assert undelivered("toy", unread=False) == []


def test_what_is_known_is_published_before_a_receiver_is_asked(home):
    "A receiver that hangs, and a kill while it does: the numbers are those of the book, and another check need not wait."
    port, over = listening(silent)
    told_to(port)
    rules_path("toy").write_text(rules_path("toy").read_text().replace("tries: 1", "tries: 1, timeout: 20 seconds"))
    process = started(home, "0:1")
    for _ in range(200):
        if firing("toy") and '"firing": true' in numbers(): break
        time.sleep(0.05)
    assert '"firing": true' in numbers() and process.poll() is None
    began = time.monotonic()
    ring("toy", look(1, 1), loud=False) # somebody else sends
    assert time.monotonic() - began < 15 and json.loads(numbers())["waiting"] == 1
    process.kill()
    process.wait()
    process.stderr.close()
    over.set()

def numbers() -> str:
    from fashion_mlops.service.last_check import last_check_path
    path = last_check_path("toy")
    return path.read_text() if path.exists() else ""


def test_numbers_that_a_kill_has_left_out_come_with_the_next_look(home):
    from fashion_mlops.service.last_check import last_check_path
    for number in range(2): ring("toy", look(number, 1), loud=False)
    kept = numbers()
    last_check_path("toy").unlink()
    assert any("Prometheus is told other numbers" in said for said in undelivered("toy"))
    ring("toy", look(1, 1), loud=False) # counted before
    assert numbers() == kept and len(undelivered("toy", unread=False)) == 0


class Half(Postbox):
    "A server that refuses some receivers, and goes without a word at the end."
    def __init__(self, **refused): # address → code
        self.refused = refused
        super().__init__()

    async def talk(self, reader, writer):
        def say(text): writer.write(text.encode() + b"\r\n")
        say("220 half")
        taken = []
        while line := (await reader.readline()).decode().strip():
            if line.startswith("rcpt"):
                name = line.split("<")[1].split("@")[0]
                code = self.refused.get(name, 250)
                if code == 250: taken.append(name)
                say(f"{code} {name}")
            elif line == "data":
                say("354 go on")
                await writer.drain()
                await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(taken)
                say("250 taken")
            elif line == "quit": break
            else: say("250 yes")
            await writer.drain()
        writer.close()

def test_a_mail_is_sent_once_however_the_server_says_farewell_and_again_only_to_whom_it_refused(home):
    postbox = Half(later=451, never=550)
    told_to(1, "  office: {kind: mail, host: 127.0.0.1, port: %d, tls: none, sender: a@example.org, to: [soon@b.org, later@b.org, never@b.org]}" % postbox.port)
    rules_path("toy").write_text(rules_path("toy").read_text().replace("sinks: [team]", "sinks: [office]"))
    for number in range(3): ring("toy", look(number, 1), loud=False)
    assert postbox.mails == [["soon"]]
    assert "later@b.org (451), never@b.org (550)" in undelivered("toy")[0]
    postbox.refused.pop("later")
    ring("toy", look(3, 1), loud=False)
    assert postbox.mails == [["soon"], ["later"]]
    assert "will not be sent any more" in undelivered("toy")[0] and "never@b.org (550)" in undelivered("toy")[0] and not read_book("toy").waiting
    ring("toy", look(4, 1), loud=False)
    assert len(postbox.mails) == 2


def test_a_secret_in_a_home_that_nobody_has_costs_a_sentence(home):
    told_to(1)
    rules_path("toy").write_text(rules_path("toy").read_text().replace("env TOY_SECRET", "file ~nobody-of-this-name/x").replace("sinks: [team]", "sinks: [log, team]"))
    ring("toy", look(0, 1), loud=False)
    assert "cannot be read" in undelivered("toy")[0] and "first" in (book_folder("toy")/"alerts.log").read_text() and numbers()


def test_a_webhook_on_version_6_of_loopback_is_heard(home):
    try: server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError: pytest.skip("this machine has no ::1")
    def answer():
        met, _ = server.accept()
        with met:
            met.recv(65536)
            met.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    threading.Thread(target=answer, daemon=True).start()
    send_webhook(Webhook("team", f"http://[::1]:{server.getsockname()[1]}/", "env TOY_SECRET", tries=1), EVENT)
    server.close()


def test_looks_at_another_window_or_at_the_same_rows_change_nothing(home):
    "The nightly check rings; somebody looks at five minutes, at two days, and twice at the same rows."
    from types import SimpleNamespace
    from fashion_mlops.core import write_json
    from fashion_mlops.alerts.ringing import ring_words
    write_json(book_folder("toy").parent/"slots.json", {"champion": 1})
    def made(number, changed, rows, **words):
        asked = SimpleNamespace(**{"dataset": "toy", "window": "", "slot": "", "version": None, "rate": 0.01, "tolerance": 0.01, "most": 5000} | words)
        return SimpleNamespace(**vars(look(number, changed)) | {"rows": rows}, asked=asked, stand_in="")
    for number in (0, 1): ring_words(made(number, 1, "night"), loud=False)
    for window in ("2d", "3d"): ring_words(made(2, 1, window, window=window), loud=False)
    assert firing("toy") == []
    ring_words(made(24, 1, "next night"), loud=False)
    before = read_book("toy")
    assert [one.alert for one in firing("toy")] == ["inputs-changed"]
    for number, words in enumerate([{"window": "5m"}, {"window": "5m"}, {"most": 20}, {"window": "all"}, {"rate": 0.5}, {"window": "2026-11-01.."}]):
        said = ring_words(made(30 + number, 0, f"other {number}", **words), loud=False)
        assert len(said) == 1 and "does not count" in said[0]
        assert ring("toy", made(30 + number, 0, "other", **words), loud=False) == []
    assert read_book("toy") == before
    for number in (40, 41, 42): ring_words(made(number, 0, "a third night", window="  "), loud=False)
    assert [one.state for one in firing("toy")] == ["recovering"]
    ring_words(made(48, 0, "a fourth night"), loud=False)
    assert firing("toy") == []


def test_what_a_webhook_gets_is_json_with_the_words(home):
    heard = []
    def take(met, over):
        text = b""
        while b"\r\n\r\n" not in text: text += met.recv(65536)
        head, _, body = text.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
        while len(body) < length: body += met.recv(65536)
        heard.append((head, json.loads(body)))
        met.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    port, over = listening(take)
    send_webhook(Webhook("team", f"http://127.0.0.1:{port}/", "env TOY_SECRET"), EVENT)
    over.set()
    (head, said), = heard
    assert said["value"] == -0.08 and said["alert"] == "answers-worse" and said["text"].startswith("[critical] quakes") and b"Bcc" not in head


def test_who_was_not_told_of_a_beginning_is_not_told_of_its_end(home):
    def rules(*sinks: str):
        rules_path("toy").parent.mkdir(parents=True, exist_ok=True)
        rules_path("toy").write_text(f"rules:\n  - {{name: changed, reads: drift.changed, when: {{warning: at least 1}}, sinks: [{', '.join(sinks)}]}}\n"
                                     "sinks:\n  team: {kind: webhook, address: 'http://127.0.0.1:9/', secret: env TOY_SECRET, tries: 1}\n")
    rules("log")
    assert [event.what for event in ring("toy", look(1, 1), loud=False)] == ["rang"]
    rules("log", "team") # came while it rings
    assert [event.what for event in ring("toy", look(2, 0), loud=False)] == ["resolved"] and not undelivered("toy")
    assert [event.what for event in ring("toy", look(3, 1), loud=False)] == ["rang"] and "to team" in undelivered("toy")[0]


def test_a_full_disk_is_a_sentence_with_its_place(home, monkeypatch):
    from fashion_mlops.alerts import book
    def full(*_): raise OSError(28, "No space left on device")
    monkeypatch.setattr(book, "write_json", full)
    with pytest.raises(WorkflowError, match="No space left on device") as told: ring("toy", look(1, 1), loud=False)
    assert str(book_folder("toy")) in str(told.value) and "Make room" in str(told.value)


def test_a_window_of_a_few_rows_ends_nothing():
    import numpy as np
    import pandas as pd
    from types import SimpleNamespace
    from fashion_mlops.drift.check import Asked, Check
    from fashion_mlops.drift.observed import Observed
    def seen(count): return Observed(pd.DataFrame({"size": np.arange(float(count))}), np.full((count, 2), 0.5, np.float32), ["no", "yes"], labels=np.zeros(count, int))
    quality = pd.DataFrame({"what": [], "column": [], "now": [], "before": [], "alarming": []})
    found = {"data quality": quality, "measured accuracy": {"accuracy": (1.0, 0.9, 1.0), "change": (0.1, 0.0, 0.2)}}
    for rows, there in [(9, False), (10, True)]:
        facts = Check(Asked("toy"), seen(50), seen(rows), found=dict(found)).facts
        assert ("quality.alarming" in facts, "measured.change" in facts) == (there, there) and facts["rows"] == rows
