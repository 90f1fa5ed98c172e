"""Standard output in whole lines, whichever thread writes and however full the pipe is."""

import io
import logging
import os
import select
import signal
import sys
import threading
import time
from typing import NoReturn

READER_LEFT = 141  # the exit code that shells report for a process that SIGPIPE ended
WAIT_SECONDS, WAIT_LENGTH = 0.1, 1 << 18
STOP_SECONDS = 8  # then a process ends although nobody reads its output
STOPS = {signal.SIGINT, signal.SIGTERM}


class LineWriter(io.TextIOBase):
    """A text stream that writes to a file descriptor in whole lines, a tenth of a second of them at a time.

    Python's own `sys.stdout` splits a large write when another thread writes or a signal arrives. A
    destination then gets two lines that are not messages, and the record is lost. A write for each message takes a
    fifth of the CPU of a read. Test: `test_output.py`.

    Args:
        descriptor: An open file descriptor.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._length = 0
        self._unfinished = threading.local()  # the last line of each thread
        threading.Thread(target=self._write_regularly, daemon=True).start()
        threading.Thread(target=self._wait_for_signal, daemon=True).start()

    def write(self, text: str) -> int:
        """Keep the whole lines of a text to be written soon, and an unfinished last line until it is whole."""
        lines, newline, rest = (vars(self._unfinished).get("text", "") + text).rpartition("\n")
        self._unfinished.text = rest
        with self._lock:
            self._waiting.append(lines + newline)
            self._length += len(lines)
        if self._length > WAIT_LENGTH:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Write what waits; end the process where that is not possible."""
        with self._lock:
            left = memoryview("".join(self._waiting).encode("utf-8", "backslashreplace"))
            self._waiting, self._length = [], 0
            try:
                while left:
                    select.select([], [self._descriptor], [])  # a pipe in non-blocking mode may be full
                    left = left[os.write(self._descriptor, left) :]
            except BrokenPipeError:
                os._exit(READER_LEFT)
            except OSError as failure:
                _end(failure.strerror)

    def _write_regularly(self) -> None:
        while True:
            time.sleep(WAIT_SECONDS)
            self.flush()

    def _wait_for_signal(self) -> None:
        number = signal.sigwait(STOPS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # a second signal ends the process at once
        self._lock.acquire(timeout=STOP_SECONDS)
        os._exit(128 + number)

    def end_process(self, code: int) -> NoReturn:
        """Write what waits and end the process, without waiting for reader threads: they can wait forever."""
        self.flush()
        os._exit(code)


def _end(why: str | None) -> NoReturn:
    print(f"source-confluence: The output cannot be written: {why}.", file=sys.stderr)
    os._exit(1)


def take_over_stdout() -> LineWriter:
    """Send all that is printed or logged through one writer; SIGINT and SIGTERM end between two lines."""
    if sys.stdout is None:
        _end("it is closed")
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # in this thread, and in all that it starts
    writer = LineWriter(sys.stdout.fileno())
    sys.stdout = writer
    logging.raiseExceptions = False  # no traceback for a log line that nobody reads
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.stream = writer  # setStream would flush the CDK's buffer to a disk that may be full
    return writer
