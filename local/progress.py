"""Runs a command of Cargo and shows that it lives: what it does, crates done of crates in all, minutes so far.

    python3 local/progress.py "Building the demo" cargo build --workspace

On a terminal it keeps one line at the bottom, elsewhere it writes a line each 15 seconds. What Cargo says, errors
included, is passed on unchanged, and its exit code is this one's. The numbers are read from Cargo's own progress bar;
where there is none, the line has the time alone. It needs the Python of the machine only, since it runs first.
"""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time

EVERY = float(os.environ.get("PROGRESS_SECONDS", "15"))  # between two lines where no terminal is
BAR = re.compile(rb"^ *(?:\x1b\[[\d;]*m)* *Building(?:\x1b\[[\d;]*m)* \[[=> ]*\] (\d+)/(\d+)(?:: (.*?))? *$")
WAITS = b"Blocking waiting for file lock"


def pieces(stream, found):
    """Reads what the command writes, in lines as it ends them; those that end in a carriage return are of the bar."""
    held = b""
    while read := os.read(stream.fileno(), 65536):
        *whole, held = re.split(rb"(?<=[\r\n])", held + read)
        for piece in whole:
            found.put(piece)
    if held:
        found.put(held)
    found.put(None)


class Line:
    """What is shown of the progress."""

    def __init__(self, title, out):
        self.title, self.out, self.terminal = title, out, os.isatty(out.fileno())
        self.began = self.shown = time.monotonic()
        self.done = ""

    def text(self):
        """Such as `Building the demo: 212 of 391 crates, 3 min 15 s (aws-sdk-ec2)`."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        spent = f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
        now = ""
        numbers = self.done
        if isinstance(numbers, tuple):
            done, of, now = numbers
            numbers = f"{done} of {of} crates, "
        return f"{self.title}: {numbers}{spent}{f' ({now})' if now else ''}"

    def show(self):
        """Writes it, if it is time to."""
        if self.terminal:
            with contextlib.suppress(OSError):
                width = os.get_terminal_size(self.out.fileno()).columns or 80
                self.write(b"\r\x1b[K" + self.text()[: max(width - 1, 20)].encode())
        elif time.monotonic() - self.shown >= EVERY:
            self.shown = time.monotonic()
            self.write(self.text().encode() + b"\n")

    def write(self, content):
        """At once, also into a pipe."""
        self.out.write(content)
        self.out.flush()

    def clear(self):
        """Makes room for a line of Cargo."""
        if self.terminal:
            self.write(b"\r\x1b[K")

    def take(self, piece):
        """A line of Cargo: of its bar, or one to pass on."""
        if bar := BAR.match(piece.rstrip(b"\r\n")):
            done, of, now = bar.groups()
            self.done = (int(done), int(of), (now or b"").decode(errors="replace"))
        elif piece.strip(b" \r\n") or piece.endswith(b"\n"):
            self.clear()
            self.write(piece.removeprefix(b"\r\x1b[K"))


def main(title, *command):
    """Runs the command; its exit code."""
    line = Line(title, sys.stderr.buffer)
    env = os.environ | {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "120"}
    if line.terminal:
        env.setdefault("CARGO_TERM_COLOR", "always")
    # Ctrl-C reaches the command as well: it ends by itself, and its end is waited for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(
        command, env=env, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    found = queue.Queue()
    threading.Thread(target=pieces, args=(child.stderr, found), daemon=True).start()
    while True:
        ended = child.poll() is not None  # asked before the wait: what it wrote last is then among what is waited for
        try:
            piece = found.get(timeout=0.5)
        except queue.Empty:
            if ended:
                break  # what it started, such as a cache of compiled crates, lives on with its stderr
            piece = b""
        if piece is None:
            break
        if piece:
            line.take(piece)
        line.show()
    line.clear()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
