"""Standard output in whole lines, whichever thread writes and however full the pipe is."""

import io
import logging
import os
import select
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn


class LineWriter(io.TextIOBase):
    """A text stream that writes to a file descriptor in whole lines, one write at a time.

    Python's own `sys.stdout` splits a large write when another thread writes or a signal arrives. A
    destination then gets two lines that are not messages, and the record is lost. Test: `test_output.py`.

    Args:
        descriptor: An open file descriptor.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._unfinished = threading.local()
        self._main_thread_writes = False
        self._stopped_by = 0

    def write(self, text: str) -> int:
        """Write the whole lines of a text; keep an unfinished last line for this thread's next write.

        Raises:
            OSError: The lines cannot be written.
            SystemExit: In the main thread, when a signal arrived meanwhile.
        """
        lines, newline, self._unfinished.text = (vars(self._unfinished).get("text", "") + text).rpartition(
            "\n"
        )
        if threading.current_thread() is not threading.main_thread():
            self._write_all(lines + newline)
            return len(text)
        self._main_thread_writes = True
        try:
            self._write_all(lines + newline)
        finally:
            self._main_thread_writes = False
        if self._stopped_by:
            sys.exit(128 + self._stopped_by)
        return len(text)

    def _write_all(self, lines: str) -> None:
        left = memoryview(lines.encode("utf-8", "backslashreplace"))
        with self._lock:
            while left:
                select.select([], [self._descriptor], [])  # a pipe in non-blocking mode may be full
                left = left[os.write(self._descriptor, left) :]

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
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.stream = writer  # setStream would flush the CDK's buffer to a disk that may be full
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, writer.stop)
    return writer
