"""The stand-in for the hosts that functions download from."""

import socket
import ssl
import time

from gatehouse_local.web import Web

URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem"


def download(web):
    """The answer, and the seconds from the request to its last byte."""
    with socket.create_connection(web._server.server_address[:2], timeout=10) as tunnel:
        tunnel.sendall(b"CONNECT sns.eu-west-1.amazonaws.com:443 HTTP/1.1\r\n\r\n")
        assert tunnel.recv(4096).startswith(b"HTTP/1.1 200")
        trust = ssl.create_default_context(cafile=str(web.authority_file))
        with trust.wrap_socket(tunnel, server_hostname="sns.eu-west-1.amazonaws.com") as connection:
            started = time.perf_counter()
            path = URL.removeprefix("https://sns.eu-west-1.amazonaws.com")
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(b"the end"):
                answer += connection.recv(4096)
            return answer, time.perf_counter() - started


def test_an_answer_over_tls_does_not_wait_for_a_delayed_acknowledgement():
    """With Nagle's algorithm each took 40 ms, which the bench then took for time of the function."""
    with Web() as web:
        web.serve(URL, b"a page to the end")
        answers = [download(web) for _ in range(10)]
    assert all(answer.startswith(b"HTTP/1.1 200") for answer, _ in answers)
    assert min(seconds for _, seconds in answers) < 0.030
