"""Hash every file under a folder with several threads, and stop cleanly on Ctrl-C.

    python examples/hash_tree.py [--workers N] [--algorithm NAME] [--chunk-size BYTES] [DIR]

Prints a line "digest  path" a file, sorted by path, and progress on stderr while it works. DIR
is Python's own standard library unless given.

Each worker looks for a request between two chunks (``check_interrupt``), so on Ctrl-C all of them
stop within one chunk, each with its files closed. What was hashed until then is printed and marked
as partial.

Exit status: 0 when everything was hashed, 1 when some files could not be read, 130 when interrupted
(128 + SIGINT, as shells have it).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import queue
import sys
import sysconfig
import time
from pathlib import Path

from interruption import Thread, check_interrupt, interrupt_all_threads

EXIT_UNREADABLE = 1
EXIT_INTERRUPTED = 130
PROGRESS_EVERY = 0.2  # seconds


class Worker(Thread):
    """Hashes files from the queue until it is empty or the thread is asked to stop."""

    def __init__(self, files: queue.SimpleQueue[Path], algorithm: str, chunk_size: int) -> None:
        """Hash `files` in chunks of so many bytes."""
        super().__init__()
        self.files = files
        self.algorithm = algorithm
        self.chunk_size = chunk_size
        # Written by this thread only; the main thread reads them.
        self.digests: list[tuple[Path, str]] = []
        self.errors: list[tuple[Path, OSError]] = []
        self.chunks = 0
        self.bytes = 0

    def run(self) -> None:
        """Take files until there are none. ThreadExit ends the thread in silence."""
        while True:
            check_interrupt()
            try:
                path = self.files.get_nowait()
            except queue.Empty:
                return
            try:
                self.digests.append((path, self.hash_file(path)))
            except OSError as error:
                self.errors.append((path, error))

    def hash_file(self, path: Path) -> str:
        """The file's digest, unless the thread is asked to stop meanwhile."""
        digest = hashlib.new(self.algorithm)
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(self.chunk_size):
                digest.update(chunk)
                self.chunks += 1
                self.bytes += len(chunk)
                check_interrupt()
        return digest.hexdigest()


def find_files(folder: Path) -> list[Path]:
    """All regular files under the folder; links are not followed."""
    found = []
    for parent, _, names in os.walk(folder):
        found += [path for name in names if (path := Path(parent, name)).is_file()]
    return sorted(found)


class Progress:
    """One line on stderr: rewritten on a terminal, a new one every second elsewhere."""

    def __init__(self, total: int) -> None:
        """Begin, with so many files to come."""
        self.total = total
        self.started = self.shown = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def show(self, workers: list[Worker]) -> None:
        """Show where the workers are."""
        now = time.monotonic()
        if not self.terminal and now - self.shown < 1:
            return
        self.shown = now
        files = sum(len(worker.digests) + len(worker.errors) for worker in workers)
        megabytes = sum(worker.bytes for worker in workers) / 1e6
        speed = megabytes / max(now - self.started, 1e-9)
        line = f"{files}/{self.total} files, {megabytes:.1f} MB, {speed:.0f} MB/s"
        print(line, end="\r" if self.terminal else "\n", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Leave the last line where it is."""
        if self.terminal:
            print(file=sys.stderr)


def run(workers: list[Worker], progress: Progress) -> bool:
    """Start the workers and wait until all have ended. Returns whether Ctrl-C asked them to."""
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(PROGRESS_EVERY)
                progress.show(workers)
    except KeyboardInterrupt:
        asked = interrupt_all_threads(reason="Ctrl-C")
        at_request = [worker.chunks for worker in workers]
        for worker in workers:
            if worker.ident is not None:
                worker.join()
        progress.finish()
        more = [worker.chunks - chunks for worker, chunks in zip(workers, at_request, strict=True)]
        print(
            f"interrupted: asked {asked} threads to stop; chunks each worker finished after that: "
            + " ".join(map(str, more)),
            file=sys.stderr,
        )
        return True
    progress.finish()
    return False


def report(workers: list[Worker], total: int, *, interrupted: bool) -> int:
    """Print what was hashed. Returns the exit status."""
    digests = sorted(entry for worker in workers for entry in worker.digests)
    errors = [entry for worker in workers for entry in worker.errors]
    for path, digest in digests:
        print(f"{digest}  {path}")
    for path, error in errors:
        print(f"cannot read {path}: {error.strerror}", file=sys.stderr)
    if interrupted:
        print(f"# partial: interrupted after {len(digests)} of {total} files")
        return EXIT_INTERRUPTED
    print(f"hashed {len(digests)} of {total} files", file=sys.stderr)
    return EXIT_UNREADABLE if errors else 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; ends the program with a message if it is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        type=Path,
        default=Path(sysconfig.get_path("stdlib")),
        help="the folder to hash (default: %(default)s)",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument(
        "--algorithm", default="sha256", choices=sorted(hashlib.algorithms_guaranteed)
    )
    parser.add_argument("--chunk-size", type=int, default=1 << 20, metavar="BYTES")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"not a folder: {options.folder}")
    if options.workers < 1 or options.chunk_size < 1:
        parser.error("--workers and --chunk-size must be at least 1")
    if options.algorithm.startswith("shake"):
        parser.error("the shake algorithms have no fixed digest size; choose another")
    return options


def main(arguments: list[str]) -> int:
    """Hash the folder. Returns the exit status."""
    options = parse_arguments(arguments)
    paths = find_files(options.folder)
    files: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for path in paths:
        files.put(path)
    workers = [Worker(files, options.algorithm, options.chunk_size) for _ in range(options.workers)]
    interrupted = run(workers, Progress(len(paths)))
    return report(workers, len(paths), interrupted=interrupted)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before the workers were started, or while printing
        print("interrupted before anything was hashed, or while printing", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
