"""Standard output in whole lines, whichever thread writes and however full the pipe is."""

import io
import logging
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from types import FrameType
from typing import NoReturn

READER_LEFT = 141  # the exit code that shells report for a process that SIGPIPE ended
WAIT_SECONDS, WAIT_LENGTH = 0.1, 1 << 18
STOP_SECONDS = 8  # then a process ends although nobody reads its output


class LineWriter(io.TextIOBase):
    """A text stream that writes to a file descriptor in whole lines, one write at a time.

    Python's own `sys.stdout` splits a large write when another thread writes or a signal arrives. A
    destination then gets two lines that are not messages, and the record is lost. Test: `test_output.py`.

    What the main thread prints waits for a tenth of a second, and is written together: a write for each message takes
    a fifth of the CPU of a read.

    Args:
        descriptor: An open file descriptor.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._main = threading.main_thread().ident
        self._lock = threading.Lock()
        self._unfinished = threading.local()  # the last line of other threads
        self._waiting: deque[str] = (
            deque()
        )  # what the main thread printed; only the owner of the lock takes from it
        self._length = 0
        self._failure: OSError | None = None
        self._main_thread_writes = False
        self._stopped_by = 0
        threading.Thread(target=self._write_regularly, daemon=True).start()

    def write(self, text: str) -> int:
        """Write the whole lines of a text, and keep an unfinished last line.

        Raises:
            OSError: The lines cannot be written.
            SystemExit: In the main thread: they cannot be written, or a signal arrived meanwhile.
        """
        if threading.get_ident() == self._main:
            self._waiting.append(text)
            self._length += len(text)
            if self._length > WAIT_LENGTH or self._failure:
                self.flush()
        else:
            lines = vars(self._unfinished).get("text", "") + text
            with self._lock:
                self._unfinished.text = self._write_lines(lines)
        return len(text)

    def flush(self) -> None:
        """Write what waits in the main thread."""
        if threading.get_ident() != self._main or self._stopped_by:
            return
        self._main_thread_writes, self._length = True, 0
        try:
            self._write_waiting()
        except BrokenPipeError:
            sys.exit(READER_LEFT)
        except OSError as failure:
            print(f"source-confluence: The output cannot be written: {failure.strerror}.", file=sys.stderr)
            sys.exit(1)
        finally:
            self._main_thread_writes = False
        if self._stopped_by:
            sys.exit(128 + self._stopped_by)

    def _write_regularly(self) -> None:
        """Write what waits although the main thread prints nothing more for now; leave errors to the main thread."""
        while not self._failure:
            time.sleep(WAIT_SECONDS)
            try:
                self._write_waiting()
            except OSError as failure:
                self._failure = failure

    def _write_waiting(self) -> None:
        with self._lock:
            if self._failure:
                raise self._failure
            text = "".join([self._waiting.popleft() for _ in range(len(self._waiting))])
            if rest := self._write_lines(text):
                self._waiting.appendleft(rest)

    def _write_lines(self, text: str) -> str:
        """Write the whole lines of a text; return the rest."""
        lines, newline, rest = text.rpartition("\n")
        left = memoryview((lines + newline).encode("utf-8", "backslashreplace"))
        while left:
            select.select([], [self._descriptor], [])  # a pipe in non-blocking mode may be full
            left = left[os.write(self._descriptor, left) :]
        return rest

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: exit between two lines with 128 plus its number. A second signal ends at once."""
        signal.signal(number, signal.SIG_DFL)
        if self._stopped_by:  # by the alarm: nobody reads
            sys.exit(128 + self._stopped_by)
        self._stopped_by = number
        if not self._main_thread_writes:
            sys.exit(128 + number)
        signal.signal(signal.SIGALRM, self.stop)
        signal.alarm(STOP_SECONDS)

    def end_process(self, code: int) -> NoReturn:
        """End the process between two lines, without waiting for reader threads: they can wait forever."""
        self._lock.acquire(timeout=STOP_SECONDS)
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
