#!/usr/bin/env python3
"""Record small captures of real exchanges between two Linux TCP sockets.

    python3 record.py [--out DIR] [NAME...]

Records the named captures (all of them when no name is given; a name is a
file name with or without ".pcap") into DIR, by default the folder this file
is in, and puts what every application really received into DIR/truth.json.

Needs: Linux, root, Python 3.9 or later, ip (iproute2) and ethtool. Nothing
else: capturing, the lossy device and the VLAN ports are AF_PACKET sockets
here, so it works on kernels without netem, 8021q or tc actions.

How a capture is made: a client and a server namespace are joined by one of
three links, whose offloads are all off so that frames have wire size and
right checksums.

  direct   client a0 ===== b0 server
           captured at a0.
  device   client a0 ===== m0 [device] m1 ===== b0 server
           the device delays, drops, reorders and duplicates TCP frames by a
           seeded plan and writes down each frame as it sends it on.
  trunk    client a0 ===== m0 [port] t0 ===== t1 [port] m1 ===== b0 server
           the ports push and pop VLAN tags; captured at t0.

Both ends play fixed scripts of steps (see `play`) on ordinary sockets, with
payloads from seeded generators. The bytes and their order are the same in
each run; segmentation and timing are the kernel's and differ.
"""

import argparse
import collections
import contextlib
import ctypes
import dataclasses
import hashlib
import json
import multiprocessing
import os
import pathlib
import platform
import queue
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

CLIENT_MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("fd00::1", "fd00::2")}
PREFIX = {4: 24, 6: 64}
CONGESTION_CONTROL = "cubic"  # in every kernel, and told in truth.json

# Each file starts at this second: when it was recorded says nothing about the
# exchange, the distances between its frames do and are kept as measured.
FIRST_SECOND = 1_000_000_000

SOCKET_TIMEOUT = 60  # so that a fault ends in an error and not in a hang

# Linux constants that Python's socket module does not have.
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
ETH_P_ALL = 0x0003
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
TP_STATUS_VLAN_VALID = 1 << 4
TCP_STATE_TIME_WAIT = 6

TPID_CUSTOMER, TPID_SERVICE = 0x8100, 0x88A8  # 802.1Q, 802.1ad


# ---------------------------------------------------------------- namespaces


def run(*command):
    """Run a command, return its output, raise with its complaint if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Lab:
    """The namespaces of one recording: client, server and the middle."""

    def __init__(self, version, link):
        tag = f"rec{os.getpid()}"
        self.client, self.server, self.middle = (f"{tag}-{end}" for end in "csm")
        self.version = version
        self.link = link
        self.children = []

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in self.children:
            child.kill()
        for name in (self.client, self.server, self.middle):
            # A namespace that was not made yet needs no removing, and its
            # devices go with it.
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def build(self):
        for name in (self.client, self.server, self.middle):
            run("ip", "netns", "add", name)
        if self.link == "direct":
            self.wire(self.client, "a0", self.server, "b0")
        else:
            self.wire(self.client, "a0", self.middle, "m0")
            self.wire(self.server, "b0", self.middle, "m1")
        if self.link == "trunk":
            self.wire(self.middle, "t0", self.middle, "t1", mtu=1508)
        self.address(self.client, "a0", CLIENT_MAC, ADDRESSES[self.version][0])
        self.address(self.server, "b0", SERVER_MAC, ADDRESSES[self.version][1])
        for name, device in self.devices():
            run("ip", "-n", name, "link", "set", device, "up")
        self.wait_for_links()

    def wait_for_links(self):
        """Wait until the kernels have noticed that their links are up.

        That takes up to a second, and first packets sent before it wait too.
        """
        deadline = time.monotonic() + SOCKET_TIMEOUT
        while not all(is_up(name, device) for name, device in self.devices()):
            if time.monotonic() > deadline:
                raise RuntimeError("a link does not come up")
            time.sleep(0.05)

    def devices(self):
        """Every device but loopback, with its namespace."""
        table = {
            "direct": [(self.client, "a0"), (self.server, "b0")],
            "device": [(self.client, "a0"), (self.middle, "m0"),
                       (self.middle, "m1"), (self.server, "b0")],
        }
        table["trunk"] = table["device"] + [(self.middle, "t0"), (self.middle, "t1")]
        return table[self.link]

    def wire(self, left, left_device, right, right_device, mtu=1500):
        run("ip", "-n", left, "link", "add", left_device, "mtu", str(mtu), "type", "veth",
            "peer", "name", right_device, "mtu", str(mtu), "netns", right)
        for name, device in ((left, left_device), (right, right_device)):
            # No link-local address: nothing here needs one, and getting one
            # would fill the captures with solicitations.
            run("ip", "-n", name, "link", "set", device, "addrgenmode", "none")
            run("ip", "netns", "exec", name, "ethtool", "-K", device,
                "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off")

    def address(self, name, device, mac, address):
        if self.version == 4:
            run("ip", "netns", "exec", name, "sysctl", "-w", "net.ipv6.conf.all.disable_ipv6=1")
        run("ip", "-n", name, "link", "set", device, "address", mac)
        # Duplicate address detection would hold the first exchange up.
        extra = ["nodad"] if self.version == 6 else []
        run("ip", "-n", name, "addr", "add", f"{address}/{PREFIX[self.version]}",
            "dev", device, *extra)

    def spawn(self, name, work, *args):
        child = Child(name, work, args)
        self.children.append(child)
        return child

    def settle(self):
        """Wait until both kernels have closed every connection.

        The applications are done before their kernels are: a lost FIN or its
        lost acknowledgement is still to be repeated.
        """
        deadline = time.monotonic() + SOCKET_TIMEOUT
        while any(open_connections(name) for name in (self.client, self.server)):
            if time.monotonic() > deadline:
                raise RuntimeError("connections do not close")
            time.sleep(0.05)
        time.sleep(0.3)  # the last acknowledgement is on its way


def is_up(name, device):
    return "state UP" in run("ip", "-n", name, "link", "show", "dev", device)


def open_connections(name):
    """How many sockets in a namespace are neither gone nor in TIME_WAIT."""
    text = run("ip", "netns", "exec", name, "cat", "/proc/net/tcp", "/proc/net/tcp6")
    rows = [line.split() for line in text.splitlines()]
    states = [int(row[3], 16) for row in rows if row[0] != "sl"]
    return sum(state != TCP_STATE_TIME_WAIT for state in states)


class Child:
    """A process inside a namespace, which says when it is ready and done."""

    def __init__(self, name, work, args):
        fork = multiprocessing.get_context("fork")
        self.pipe, far = fork.Pipe()
        self.process = fork.Process(
            target=child_main, args=(name, work, far, args), daemon=True)
        self.process.start()
        far.close()

    def wait(self):
        """The next word from the child: None for ready, or its result."""
        if not self.pipe.poll(2 * SOCKET_TIMEOUT):
            raise RuntimeError("a process does not answer")
        word, value = self.pipe.recv()
        if word == "error":
            raise RuntimeError(f"in a process of the recording:\n{value}")
        return value

    def stop(self):
        self.pipe.send("stop")
        return self.wait()

    def kill(self):
        self.process.kill()
        self.process.join()


def child_main(name, work, pipe, args):
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        enter_namespace(name)
        result = work(pipe, *args)
        pipe.send(("result", result))
    except BaseException:
        with contextlib.suppress(OSError):
            pipe.send(("error", traceback.format_exc()))


def enter_namespace(name):
    libc = ctypes.CDLL(None, use_errno=True)
    # Even when the parent is killed outright, nothing of it stays behind but
    # the names of its namespaces.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with open(f"/run/netns/{name}", "rb") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {name}")


# ------------------------------------------------------- frames and captures


def packet_socket(device, both_directions):
    """A raw socket on a device, with timestamps and VLAN tags kept aside."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    if not both_directions:
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.bind((device, ETH_P_ALL))
    sock.setblocking(False)
    return sock


def receive(sock):
    """One frame as it was on the wire: (nanoseconds, bytes), None if no more."""
    try:
        frame, extras, _, _ = sock.recvmsg(65536, 256)
    except BlockingIOError:
        return None
    stamp = time.time_ns()
    for level, kind, data in extras:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("=qq", data[:16])
            stamp = seconds * 1_000_000_000 + nanoseconds
        elif (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            frame = with_stripped_tag(frame, data)
    return stamp, frame


def with_stripped_tag(frame, auxdata):
    """Put the outermost VLAN tag back that the kernel took out of a frame."""
    status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", auxdata[:20])
    if not status & TP_STATUS_VLAN_VALID:
        return frame
    return frame[:12] + struct.pack("!HH", tpid or TPID_CUSTOMER, tci) + frame[12:]


def check_nothing_lost(sock):
    seen, dropped = struct.unpack("=II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    if dropped:
        raise RuntimeError(f"{dropped} of {seen} frames did not fit the capture's buffer")


def write_pcap(path, frames, nanosecond):
    magic, unit = (0xA1B23C4D, 1) if nanosecond else (0xA1B2C3D4, 1000)
    shift = FIRST_SECOND * 1_000_000_000 - frames[0][0]
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, 65535, 1))
        for stamp, frame in frames:
            seconds, rest = divmod(stamp + shift, 1_000_000_000)
            file.write(struct.pack("<IIII", seconds, rest // unit, len(frame), len(frame)))
            file.write(frame)


def capture(pipe, device, path, nanosecond):
    """Child: keep each frame that passes a device until told to stop."""
    frames = []
    sock = packet_socket(device, both_directions=True)
    time.sleep(0.1)  # the kernel turns its timestamps on a little later
    pipe.send(("ready", None))
    stopping = False
    while not stopping:
        readable, _, _ = select.select([sock, pipe], [], [])
        stopping = pipe in readable
        # Also after the word to stop: what is queued still belongs in.
        while (item := receive(sock)) is not None:
            frames.append(item)
    check_nothing_lost(sock)
    write_pcap(path, frames, nanosecond)
    return {"frames": len(frames)}


# ------------------------------------------------------------ lossy device

DELAY = 0.004  # one way; without it a window would never be in flight
HOLD_AT_MOST = 0.03  # a frame held back with none following goes on after this
DROP, REORDER, DUPLICATE = 0.03, 0.06, 0.02


def is_tcp(frame):
    kind = frame[12:14]
    return (kind == b"\x08\x00" and frame[23] == 6) or (kind == b"\x86\xdd" and frame[20] == 6)


class Mischief:
    """What the device does to the frames of one direction."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.held = []  # [frames still to go before it, deadline, frame]
        self.counts = collections.Counter()

    def passed(self, frame, now):
        """Take a frame in, return the frames that are to go out now."""
        if not is_tcp(frame):
            return [frame]
        self.counts["received"] += 1
        fate = self.random.random()
        if fate < DROP:
            self.counts["dropped"] += 1
            return []
        if fate < DROP + REORDER:
            self.counts["held_back"] += 1
            self.held.append([self.random.randint(1, 5), now + HOLD_AT_MOST, frame])
            return []
        out = [frame] + self.released()
        if fate < DROP + REORDER + DUPLICATE:
            self.counts["duplicated"] += 1
            self.copy_later(frame, now, out)
        return out

    def copy_later(self, frame, now, out):
        behind = self.random.randint(0, 3)
        if behind == 0:
            out.insert(1, frame)
        else:
            self.held.append([behind, now + HOLD_AT_MOST, frame])

    def released(self):
        for entry in self.held:
            entry[0] -= 1
        return self.take(lambda entry: entry[0] <= 0)

    def overdue(self, now):
        return self.take(lambda entry: entry[1] <= now)

    def take(self, wanted):
        out = [entry[2] for entry in self.held if wanted(entry)]
        self.held = [entry for entry in self.held if not wanted(entry)]
        return out


class Lane:
    """One direction through the device: a delay line and then the mischief."""

    def __init__(self, source, target, seed, log):
        self.source, self.target, self.log = source, target, log
        self.mischief = Mischief(seed)
        self.delayed = collections.deque()

    def take_in(self, now):
        while (item := receive(self.source)) is not None:
            self.delayed.append((now + DELAY, item[1]))

    def next_time(self):
        times = [due for due, _ in list(self.delayed)[:1]]
        return min(times + [entry[1] for entry in self.mischief.held], default=None)

    def move_on(self, now):
        while self.delayed and self.delayed[0][0] <= now:
            self.send(self.mischief.passed(self.delayed.popleft()[1], now))
        self.send(self.mischief.overdue(now))

    def send(self, frames):
        for frame in frames:
            # Written down first, so that an answer cannot come before it.
            self.log.append((time.time_ns(), frame))
            self.target.send(frame)


def lossy_device(pipe, path, seed):
    """Child: the device, which is also the capture of what it sent on."""
    log = []
    ends = [packet_socket(device, both_directions=False) for device in ("m0", "m1")]
    lanes = [Lane(ends[0], ends[1], f"{seed} up", log), Lane(ends[1], ends[0], f"{seed} down", log)]
    pipe.send(("ready", None))
    while not pipe.poll():
        times = [when for lane in lanes if (when := lane.next_time()) is not None]
        wait = max(0, min(times) - time.monotonic()) if times else None
        select.select([*ends, pipe], [], [], wait)
        for lane in lanes:
            lane.take_in(time.monotonic())
            lane.move_on(time.monotonic())
    for sock in ends:
        check_nothing_lost(sock)
    write_pcap(path, log, nanosecond=False)
    names = ("device_to_server", "device_to_client")
    counts = {name: dict(sorted(lane.mischief.counts.items())) for name, lane in zip(names, lanes)}
    return {"frames": len(log), **counts}


# --------------------------------------------------------------- VLAN ports


def tag_bytes(vlans):
    """The tags for a list of VLAN ids, outermost first."""
    kinds = [TPID_SERVICE] * (len(vlans) - 1) + [TPID_CUSTOMER]
    return b"".join(struct.pack("!HH", kind, vlan) for kind, vlan in zip(kinds, vlans))


def vlan_port(pipe, access, trunk, vlans):
    """Child: an access port of a switch, which tags and untags by itself."""
    tags = tag_bytes(vlans)
    inside = packet_socket(access, both_directions=False)
    outside = packet_socket(trunk, both_directions=False)
    pipe.send(("ready", None))
    while True:
        readable, _, _ = select.select([inside, outside, pipe], [], [])
        if pipe in readable:
            return None
        while (item := receive(inside)) is not None:
            outside.send(item[1][:12] + tags + item[1][12:])
        while (item := receive(outside)) is not None:
            if item[1][12:12 + len(tags)] == tags:
                inside.send(item[1][:12] + item[1][12 + len(tags):])


# ---------------------------------------------------------------- endpoints


@dataclasses.dataclass
class Talk:
    """One connection: what each end does, as steps for `play`."""

    client_port: int  # fixed, since it tells the server which talk this is
    client: list
    server: list
    server_port: int = 80
    vlans: tuple = ()

    def refused(self):
        return not self.server


class Endpoint:
    """One end of a connection and what its application has read from it."""

    def __init__(self, sock):
        self.sock = sock
        self.got = bytearray()

    def do_send(self, data):
        self.sock.sendall(data)

    def do_recv(self, count):
        """Read just this many bytes, and leave what may follow unread."""
        left = count
        while left:
            data = self.sock.recv(left)
            if not data:
                raise RuntimeError("the other end closed early")
            self.got += data
            left -= len(data)

    def do_eof(self):
        while data := self.sock.recv(65536):
            self.got += data

    def do_shut(self):
        self.sock.shutdown(socket.SHUT_WR)

    def do_pause(self, seconds):
        time.sleep(seconds)

    def do_abort(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionResetError("by this end")

    def play(self, steps):
        """Do the steps, close, and return what this end has seen."""
        end = "fin"
        try:
            for verb, *args in steps:
                getattr(self, f"do_{verb}")(*args)
        except (ConnectionResetError, BrokenPipeError):
            end = "reset"
        finally:
            self.sock.close()
        return report(self.got, end)


def report(got, end):
    return {"got": {"bytes": len(got), "sha256": hashlib.sha256(got).hexdigest()}, "end": end}


def tcp_socket(version, address, port):
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # By socket: a namespace may not choose what the host does not allow to all.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_CONTROL.encode())
    sock.settimeout(SOCKET_TIMEOUT)
    sock.bind((address, port))
    return sock


def in_threads(count, work):
    """Run work() in so many threads and raise what any of them raised."""
    faults = []

    def guarded():
        try:
            work()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def serve(pipe, version, talks):
    """Child: accept each talk's connection and play the server's part."""
    waited = {talk.client_port: talk for talk in talks if not talk.refused()}
    listener = tcp_socket(version, ADDRESSES[version][1], talks[0].server_port)
    listener.listen(len(talks))
    pipe.send(("ready", None))
    seen = {}

    def one():
        sock, peer = listener.accept()
        sock.settimeout(SOCKET_TIMEOUT)
        seen[peer[1]] = Endpoint(sock).play(waited[peer[1]].server)

    in_threads(len(waited), one)
    listener.close()
    return seen


def call(pipe, version, talks, at_once):
    """Child: open the talks' connections in order, some at the same time."""
    pending = queue.Queue()
    for talk in talks:
        pending.put(talk)
    seen = {}

    def some():
        with contextlib.suppress(queue.Empty):
            while True:
                talk = pending.get_nowait()
                seen[talk.client_port] = call_one(version, talk)

    in_threads(at_once, some)
    return seen


def call_one(version, talk):
    client, server = ADDRESSES[version]
    sock = tcp_socket(version, client, talk.client_port)
    try:
        sock.connect((server, talk.server_port))
    except ConnectionRefusedError:
        sock.close()
        return report(b"", "refused")
    return Endpoint(sock).play(talk.client)


def printed(version, end, port):
    address = ADDRESSES[version][end]
    return f"[{address}]:{port}" if version == 6 else f"{address}:{port}"


def connection_truth(version, talk, client, server):
    """A connection for truth.json, out of what its two ends saw."""
    ends = {client["end"], server["end"]}
    return {
        "client": printed(version, 0, talk.client_port),
        "server": printed(version, 1, talk.server_port),
        "vlan": list(talk.vlans),
        "to_server": server["got"],
        "to_client": client["got"],
        "end": next(end for end in ("refused", "reset", "fin") if end in ends),
    }


def converse(lab, talks, at_once):
    """Run the talks between the two namespaces, return their truth."""
    server = lab.spawn(lab.server, serve, lab.version, talks)
    server.wait()
    client = lab.spawn(lab.client, call, lab.version, talks, at_once)
    of_client, of_server = client.wait(), server.wait()
    lab.settle()
    nothing = report(b"", "refused")
    return [
        connection_truth(lab.version, talk, of_client[talk.client_port],
                         of_server.get(talk.client_port, nothing))
        for talk in talks
    ]


# ----------------------------------------------------------------- payloads


def some_bytes(seed, count):
    return random.Random(seed).randbytes(count)


def some_text(seed, count):
    """Lines of made-up words."""
    rng = random.Random(seed)
    words = []
    size = 0
    while size < count:
        word = "".join(rng.choice("aeioubdfgklmnprstvz") for _ in range(rng.randint(2, 9)))
        words.append(word + ("\n" if rng.random() < 0.1 else " "))
        size += len(words[-1])
    return "".join(words)[:count].encode()


def payload(seed, count):
    """Text or bytes, about as often."""
    return (some_text if random.Random(seed).random() < 0.5 else some_bytes)(seed, count)


def http_request(version, upload=b""):
    host = {4: "192.0.2.2", 6: "[fd00::2]"}[version]
    method = "POST /upload" if upload else "GET /report.txt"
    length = f"Content-Length: {len(upload)}\r\n" if upload else ""
    head = (f"{method} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n"
            f"{length}Connection: close\r\n\r\n")
    return head.encode() + upload


def http_response(kind, body):
    head = (f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n")
    return head.encode() + body


# ---------------------------------------------------------------- scenarios


def exchange(port, request, response, **more):
    """Request, response, and the server closes first."""
    return Talk(port, [("send", request), ("eof",)],
                [("recv", len(request)), ("send", response)], **more)


def web_talks(version, size):
    return [exchange(40000, http_request(version),
                     http_response("text/plain", some_text(f"web{version}", size)))]


def lossy_talks(version, down, up):
    request = http_request(version, some_text(f"up{version}", up))
    response = http_response("application/octet-stream", some_bytes(f"down{version}", down))
    talk = exchange(40000, request, response)
    # The client closes last, and not before all that the device still holds
    # has come: a socket that is gone would answer a late segment with a RST.
    talk.client.append(("pause", 0.5))
    return [talk]


def short_talk(port, rng):
    """A short exchange in one of four orders of closing."""
    request = payload(rng.random(), rng.choice([0, 1, rng.randint(2, 300), rng.randint(2, 1600)]))
    response = payload(rng.random(), rng.choice([0, rng.randint(1, 400), rng.randint(1, 4096)]))
    ask, read = ("send", request), ("recv", len(request))
    answer, take = ("send", response), ("recv", len(response))
    client, server = rng.choice([
        ([ask, ("eof",)], [read, answer]),  # the server closes first
        ([ask, take], [read, answer, ("eof",)]),  # the client does
        ([ask, ("shut",), ("eof",)], [("eof",), answer]),  # half-close first
        ([ask, ("shut",), ("eof",)], [read, answer]),  # about at once
    ])
    # Not a web port, or tools would try to read random bytes as HTTP.
    return Talk(port, client, server, server_port=50000)


def short_talks(version):
    rng = random.Random(f"short{version}")
    return [short_talk(41000 + i, rng) for i in range(60)]


def halfclose_talks():
    request = http_request(4)
    parts = []
    for i in range(8):
        parts += [("send", some_text(f"half{i}", 5000)), ("pause", 0.02)]
    return [Talk(40000, [("send", request), ("shut",), ("eof",)], [("eof",), *parts])]


def reset_talks():
    """Every way here in which one end gets a RST instead of a FIN."""
    ask, answer = some_text("ask", 2000), some_text("answer", 5000)
    read, take = ("recv", len(ask)), ("recv", len(answer))
    pause = ("pause", 0.05)  # so that what was sent has been read by then
    drip = [step for i in range(6) for step in (("send", some_bytes(i, 3000)), ("pause", 0.02))]
    return [
        # The client aborts after a whole exchange, then the server does.
        Talk(42000, [("send", ask), take, pause, ("abort",)],
             [read, ("send", answer), ("eof",)]),
        Talk(42001, [("send", ask), ("eof",)],
             [read, ("send", answer), pause, ("abort",)]),
        # Nobody listens.
        Talk(42002, [], [], server_port=81),
        Talk(42003, [], [], server_port=82),
        # Closing with data unread is answered by the kernel with a RST.
        Talk(42004, [("send", ask), ("recv", 1000), pause], [read, ("send", answer), ("eof",)]),
        Talk(42005, [("send", ask), ("eof",)], [("recv", 1000), pause]),
        # The client aborts while data is still coming.
        Talk(42006, [("send", ask), ("recv", 7000), ("abort",)], [read, *drip]),
        # The server aborts after the client's FIN.
        Talk(42007, [("send", ask), ("shut",), ("eof",)], [("eof",), pause, ("abort",)]),
        # The client sends on to a server that has closed.
        Talk(42008, [("send", ask), take, ("eof",), ("send", b"late"), pause, ("send", b"later")],
             [read, ("send", answer)]),
        # No data at all.
        Talk(42009, [pause, ("abort",)], [("eof",)]),
    ]


def vlan_talks():
    request = http_request(4)
    return [
        exchange(40000 + i, request,
                 http_response("text/plain", some_text(f"vlan{i}", 12000)), vlans=vlans)
        for i, vlans in enumerate([(100,), (200, 30)])
    ]


# --------------------------------------------------------------- recordings


def record_direct(path, version, talks, at_once=1, nanosecond=False):
    with Lab(version, "direct") as lab:
        tap = lab.spawn(lab.client, capture, "a0", path, nanosecond)
        tap.wait()
        connections = converse(lab, talks, at_once)
        return {"link": lab.link, **tap.stop(), "connections": connections}


def record_lossy(path, version, talks):
    with Lab(version, "device") as lab:
        device = lab.spawn(lab.middle, lossy_device, path, path.stem)
        device.wait()
        connections = converse(lab, talks, 1)
        return {"link": lab.link, **device.stop(), "connections": connections}


def record_vlan(path, version, talks):
    with Lab(version, "trunk") as lab:
        tap = lab.spawn(lab.middle, capture, "t0", path, False)
        tap.wait()
        connections = []
        for talk in talks:
            ports = [lab.spawn(lab.middle, vlan_port, access, trunk, talk.vlans)
                     for access, trunk in (("m0", "t0"), ("m1", "t1"))]
            for port in ports:
                port.wait()
            connections += converse(lab, [talk], 1)
            for port in ports:
                port.stop()
        return {"link": lab.link, **tap.stop(), "connections": connections}


RECORDINGS = {
    "web4.pcap": lambda path: record_direct(path, 4, web_talks(4, 100_000)),
    "web6.pcap": lambda path: record_direct(path, 6, web_talks(6, 60_000), nanosecond=True),
    "short4.pcap": lambda path: record_direct(path, 4, short_talks(4), at_once=5),
    "short6.pcap": lambda path: record_direct(path, 6, short_talks(6), at_once=5),
    "lossy.pcap": lambda path: record_lossy(path, 4, lossy_talks(4, 250_000, 30_000)),
    "lossy6.pcap": lambda path: record_lossy(path, 6, lossy_talks(6, 100_000, 15_000)),
    "halfclose.pcap": lambda path: record_direct(path, 4, halfclose_talks()),
    "reset.pcap": lambda path: record_direct(path, 4, reset_talks()),
    "vlan.pcap": lambda path: record_vlan(path, 4, vlan_talks()),
}


def record(path):
    """Record one file, return its part of truth.json."""
    truth = RECORDINGS[path.name](path)
    about = {
        "kernel": re.match(r"[\d.]*", platform.release())[0],
        "congestion_control": CONGESTION_CONTROL,
    }
    return {**about, **truth}


def update_truth(path, name, part):
    """Put one file's part in, and keep those of the others."""
    truth = json.loads(path.read_text()) if path.exists() else {"files": {}}
    truth["files"][name] = part
    truth["files"] = {key: truth["files"][key] for key in RECORDINGS if key in truth["files"]}
    path.write_text(json.dumps(truth, indent=1) + "\n")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(RECORDINGS))
    options = parser.parse_args()
    options.names = [name.removesuffix(".pcap") + ".pcap" for name in options.names]
    unknown = set(options.names) - set(RECORDINGS)
    if unknown:
        parser.error(f"no such recording: {' '.join(sorted(unknown))}")
    return options


def stop_on_signals():
    """Turn signals into exceptions, so that namespaces are removed on the way out."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("stopped"))


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit("needs root, for network namespaces and raw sockets")
    stop_on_signals()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or RECORDINGS:
        truth = record(options.out / name)
        update_truth(options.out / "truth.json", name, truth)
        print(f"{name}: {truth['frames']} frames, {len(truth['connections'])} connections")


if __name__ == "__main__":
    main()
