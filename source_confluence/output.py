"""Standard output in whole lines, whichever thread writes and however full the pipe is."""

import io
import logging
import os
import select
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

READER_LEFT = 141  # the exit code that shells report for a process that SIGPIPE ended
WAIT_SECONDS, WAIT_LENGTH = 0.1, 1 << 18


class LineWriter(io.TextIOBase):
    """A text stream that writes to a file descriptor in whole lines, one write at a time.

    Python's own `sys.stdout` splits a large write when another thread writes or a signal arrives. A
    destination then gets two lines that are not messages, and the record is lost. Test: `test_output.py`.

    What the main thread prints waits for a tenth of a second while more follows: a write for each message takes
    a fifth of the CPU of a read.

    Args:
        descriptor: An open file descriptor.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._main = threading.main_thread().ident
        self._lock = threading.Lock()
        self._unfinished = threading.local()  # the last line of other threads
        self._waiting: list[str] = []
        self._length, self._written = 0, time.monotonic()
        self._main_thread_writes = False
        self._stopped_by = 0

    def write(self, text: str) -> int:
        """Write the whole lines of a text, and keep an unfinished last line.

        Raises:
            OSError: The lines cannot be written.
            SystemExit: In the main thread: they cannot be written, or a signal arrived meanwhile.
        """
        if threading.get_ident() == self._main:
            self._waiting.append(text)
            self._length += len(text)
            if self._length > WAIT_LENGTH or time.monotonic() - self._written > WAIT_SECONDS:
                self.flush()
        else:
            lines = vars(self._unfinished).get("text", "") + text
            self._unfinished.text = self._write_lines(lines)
        return len(text)

    def flush(self) -> None:
        """Write what waits in the main thread."""
        if threading.get_ident() != self._main:
            return
        self._main_thread_writes = True
        text, self._waiting = "".join(self._waiting), []
        try:
            self._waiting.append(self._write_lines(text))
        except BrokenPipeError:
            sys.exit(READER_LEFT)
        except OSError as failure:
            print(f"source-confluence: The output cannot be written: {failure.strerror}.", file=sys.stderr)
            sys.exit(1)
        finally:
            self._length, self._written, self._main_thread_writes = 0, time.monotonic(), False
        if self._stopped_by:
            sys.exit(128 + self._stopped_by)

    def _write_lines(self, text: str) -> str:
        """Write the whole lines of a text; return the rest."""
        lines, newline, rest = text.rpartition("\n")
        left = memoryview((lines + newline).encode("utf-8", "backslashreplace"))
        with self._lock:
            while left:
                select.select([], [self._descriptor], [])  # a pipe in non-blocking mode may be full
                left = left[os.write(self._descriptor, left) :]
        return rest

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: exit between two lines with 128 plus its number. A second signal ends at once."""
        signal.signal(number, signal.SIG_DFL)
        self._stopped_by = number
        if not self._main_thread_writes:
            sys.exit(128 + number)

    def end_process(self, code: int) -> NoReturn:
        """End the process between two lines, without waiting for reader threads: they can wait forever."""
        self._lock.acquire()
        os._exit(code)


def take_over_stdout() -> LineWriter:
    """Send all that is printed or logged through one writer; SIGINT and SIGTERM end between two lines."""
    writer = LineWriter(sys.stdout.fileno())
    sys.stdout = writer
    logging.raiseExceptions = False  # no traceback for a log line that nobody reads
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.stream = writer  # setStream would flush the CDK's buffer to a disk that may be full
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, writer.stop)
    return writer
