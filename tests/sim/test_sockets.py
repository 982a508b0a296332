"""Sockets, names and waits for descriptors."""

# ruff: noqa: T201 - what programs print is what these tests look at

from __future__ import annotations

import errno
import select
import selectors
import socket
import time

import pytest

from mockbroker.sim import Simulation
from tests.sim.echo import Echo


def remembered_echoes():
    """Return a list, and a function that serves echoes and puts each into it."""
    peers = []

    def serve(write, hang_up, peer):
        peers.append(Echo(write, hang_up, peer))
        return peers[-1]

    return peers, serve


def run_one(function, *, prepare=lambda sim: None):
    """Run one function with an echo at localhost:7; return what it printed."""
    with Simulation() as sim:
        sim.register("localhost:7", Echo)
        prepare(sim)
        sim.spawn(function, name="T")
        sim.run()
        assert sim.tasks[0].error is None, str(sim.console("T"))
        return str(sim.console("T")).splitlines()


def test_a_blocking_socket_and_its_time_out():
    def program():
        with socket.create_connection(("localhost", 7), timeout=2.5) as sock:
            sock.sendall(b"hello")
            assert sock.recv(3, socket.MSG_PEEK) == b"HEL"
            buffer = bytearray(10)
            assert sock.recv_into(buffer) == 5
            assert buffer[:5] == b"HELLO"
            with pytest.raises(TimeoutError, match="timed out"):
                sock.recv(1)
            print(time.monotonic())
            sock.sendmsg([b"qu", b"it"])
            assert sock.recv(100) == b"QUIT"
            assert sock.recv(100) == b""
            with pytest.raises(BrokenPipeError):
                sock.send(b"too late")

    assert run_one(program) == ["1002.5"]


def test_names_and_options_are_those_of_tcp():
    def program():
        sock = socket.create_connection(("localhost", 7))
        assert sock.getpeername() == ("127.0.0.1", 7)
        assert sock.getsockname() == ("127.0.0.1", 49152)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert (sock.family, sock.type, sock.getblocking()) == (socket.AF_INET, socket.SOCK_STREAM, True)
        with pytest.raises(OSError, match="already connected"):
            sock.connect(("localhost", 7))
        sock.close()

    run_one(program)


def test_a_socket_that_does_not_block_stays_so():
    def program():
        sock = socket.socket()
        sock.setblocking(False)
        assert sock.connect_ex(("localhost", 7)) == 0
        assert sock.gettimeout() == 0
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        sock.close()

    run_one(program)


def test_other_addresses_are_refused_by_name():
    def program():
        for address in (("db.example", 5432), ("localhost", 80), ("10.1.2.3", 5672)):
            try:
                socket.create_connection(address)
            except OSError as error:
                print(type(error).__name__, error)
        sock = socket.socket()
        assert sock.connect_ex(("localhost", 80)) == errno.ECONNREFUSED
        sock.close()

    unknown, closed, far = run_one(program)
    assert unknown.startswith("gaierror")
    assert "no host 'db.example'; it serves localhost:5672, localhost:7" in unknown
    assert closed.startswith("ConnectionRefusedError")
    assert "nobody listens at 127.0.0.1:80" in closed
    assert "nobody listens at 10.1.2.3:5672" in far


def test_any_host_name_can_be_the_brokers():
    def program():
        import pika

        pika.BlockingConnection(pika.URLParameters("amqp://rabbit.internal:5673/%2F")).close()
        assert socket.gethostbyname("rabbit.internal") == "198.18.0.2"
        print("reached")

    with Simulation(addresses=["rabbit.internal:5673"]) as sim:
        sim.spawn(program, name="T")
        sim.run()
        assert str(sim.console("T")) == "reached\n"


def test_an_allowed_address_is_reached_for_real():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def program():
            with socket.create_connection(("127.0.0.1", port)) as sock:
                print(sock.getpeername()[1] == port)

        with Simulation(allow=[f"127.0.0.1:{port}"]) as sim:
            sim.spawn(program, name="T")
            sim.run()
            assert str(sim.console("T")) == "True\n"


@pytest.mark.parametrize("name", ["DefaultSelector", "SelectSelector", "PollSelector"])
def test_selectors_wait_in_virtual_time(name):
    def program():
        sock = socket.create_connection(("localhost", 7))
        with getattr(selectors, name)() as selector:
            selector.register(sock, selectors.EVENT_READ)
            assert selector.select(1.5) == []
            print(time.monotonic())
            selector.modify(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            assert [events for _, events in selector.select()] == [selectors.EVENT_WRITE]
            sock.sendall(b"x")
            assert selector.select()[0][1] == selectors.EVENT_READ | selectors.EVENT_WRITE
        sock.close()

    assert run_one(program) == ["1001.5"]


def test_select_and_poll_take_what_the_real_ones_take():
    def program():
        sock = socket.create_connection(("localhost", 7))
        assert select.select([sock], [sock.fileno()], [], 0) == ([], [sock.fileno()], [])
        with pytest.raises(ValueError, match="non-negative"):
            select.select([], [], [], -1)
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        assert poll.poll(2000) == []
        print(time.monotonic())
        with pytest.raises(FileNotFoundError):
            poll.modify(999, select.POLLIN)
        with pytest.raises(KeyError):
            poll.unregister(999)
        sock.close()

    assert run_one(program) == ["1002.0"]


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")
def test_epoll_behaves_as_the_systems():
    def program():
        sock = socket.create_connection(("localhost", 7))
        with select.epoll() as epoll:
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT)
            with pytest.raises(FileExistsError):
                epoll.register(sock, select.EPOLLIN)
            assert epoll.poll(0) == [(sock.fileno(), select.EPOLLOUT)]
            epoll.modify(sock, select.EPOLLIN)
            assert epoll.poll(0.5, maxevents=1) == []
            epoll.unregister(sock)
            with pytest.raises(FileNotFoundError):
                epoll.unregister(sock)
            with pytest.raises(OSError, match="Bad file descriptor"):
                epoll.register(999_999)
            assert epoll.fileno() > 0
        assert epoll.closed
        with pytest.raises(ValueError, match="closed epoll"):
            epoll.poll()
        sock.close()

    run_one(program)


def test_a_programs_own_socket_pair_wakes_its_other_thread():
    def program():
        import threading

        ours, theirs = socket.socketpair()

        def write_later():
            time.sleep(3)
            theirs.send(b"wake")

        threading.Thread(target=write_later).start()
        assert ours.recv(10) == b"wake"
        print(time.monotonic())
        ours.close()
        theirs.close()

    assert run_one(program) == ["1003.0"]


def test_a_cut_link_loses_what_is_asked():
    def program():
        sock = socket.create_connection(("localhost", 7))
        sock.sendall(b"one")
        time.sleep(1)
        sock.sendall(b"two")
        time.sleep(1)
        try:
            while True:
                print(sock.recv(3).decode())
        except ConnectionResetError as error:
            print(errno.errorcode[error.errno])
        sock.close()

    for lose, printed in ((None, ["ONE", "TWO"]), ("in", []), ("both", [])):
        with Simulation() as sim:
            sim.register("localhost:7", Echo)
            sim.spawn(program, name="T")
            sim.run(until=1.5)
            sim.cut("T", lose)
            sim.run()
            assert str(sim.console("T")).splitlines() == [*printed, "ECONNRESET"]
    with Simulation() as sim:
        sim.spawn(program, name="T")
        with pytest.raises(ValueError, match="lose must be"):
            sim.cut("T", "all")


def test_a_socket_that_is_dropped_is_closed():
    peers, serve = remembered_echoes()

    def program():
        sock = socket.create_connection(("localhost", 8))
        sock.sendall(b"x")
        sock.detach()
        time.sleep(1)

    run_one(program, prepare=lambda sim: sim.register("localhost:8", serve))
    assert peers[0].received == [b"x", b"<eof>"]


def test_nothing_arrives_that_a_program_does_while_it_is_unwound():
    peers, serve = remembered_echoes()

    def program():
        sock = socket.create_connection(("localhost", 8))
        try:
            time.sleep(100)
        finally:
            sock.sendall(b"from the grave")

    with Simulation() as sim:
        sim.register("localhost:8", serve)
        sim.spawn(program)
        sim.run(until=1)
    assert peers[0].received == [b"<eof>"]


def test_a_fault_of_the_served_side_is_raised_by_run_not_in_the_program():
    class Broken(Echo):
        def receive(self, data):
            raise LookupError("served side")

    def program():
        sock = socket.create_connection(("localhost", 8))
        sock.sendall(b"x")
        sock.recv(1)

    with Simulation() as sim:
        sim.register("localhost:8", Broken)
        sim.spawn(program)
        with pytest.raises(LookupError, match="served side"):
            sim.run()
        assert sim.tasks[0].error is None


def test_what_a_killed_program_has_sent_arrives():
    peers, serve = remembered_echoes()

    def program():
        sock = socket.create_connection(("localhost", 8))
        sock.sendall(b"last words")
        time.sleep(100)

    with Simulation() as sim:
        sim.register("localhost:8", serve)
        sim.spawn(program, name="T")
        sim.run(until=1)
        sim.kill("T")
        sim.run()
        assert peers[0].received == [b"last words", b"<eof>"]
