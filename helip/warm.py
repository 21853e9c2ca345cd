"""`python -m helip.warm COMMAND...`: run a command whose `helip run` jobs start in a moment, since torch is imported once for all of them.

One process imports what jobs need and forks one child for each `helip run` that COMMAND starts on this machine; such a job then takes a
tenth of a second to begin in place of five. Its output, signals, working directory, environment and exit code are those of the process
that asked. For graphs of many short jobs on CPUs; where the server cannot be reached, a job runs as it does without it.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

VARIABLE = "HELIP_WARM"  # the path of the server's socket
FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
IMPORTED = (
    "helip.stages", "helip.training.launch", "helip.training.preparation", "helip.training.loop", "helip.evaluation.run",
    "helip.selection.job", "helip.selection.encoder_scores", "helip.mining.job", "helip.encoders",
    "clip_benchmark.metrics.zeroshot_classification", "clip_benchmark.metrics.zeroshot_retrieval", "helip.models.export",
    "sklearn.metrics", "pandas",
)  # fmt: skip
_MESSAGE = 1 << 20  # bytes of a request: arguments and environment


# ------------------------------------------------------------ what a job does


def delegate(arguments: list[str]) -> int | None:
    """Returns the exit code of a command line that the server ran in this process's place; None where there is no server."""
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        server.connect(path)
        request = json.dumps({"arguments": arguments, "folder": os.getcwd(), "environ": dict(os.environ)}).encode()
        files = array.array("i", [0, 1, 2])
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE)
        server.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    except OSError:
        return None
    for number in FORWARDED:
        signal.signal(number, lambda received, _: server.send(str(received).encode()))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the job is in the same process group and has it too
    answer = server.recv(64)
    if not answer:
        print("helip run: the warm server ended before the job did; run it again", file=sys.stderr)
        return 1
    return int(answer)


# ------------------------------------------------------------ the server


class _Server:
    def __init__(self, listening: socket.socket):
        self._listening, self._jobs = listening, {}  # type: tuple[socket.socket, dict[socket.socket, int]]
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(listening, selectors.EVENT_READ, self._accept)

    def serve(self, command: "subprocess.Popen[bytes]") -> int:
        """Serves until the command and all jobs have ended; returns the command's exit code."""
        wake, woken = socket.socketpair()
        wake.setblocking(False)
        woken.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command has it too, and ends
        for number in FORWARDED:
            signal.signal(number, lambda received, _: command.send_signal(received))
        self._waiting.register(wake, selectors.EVENT_READ, lambda source: source.recv(4096))
        while command.poll() is None or self._jobs:  # the command may have ended before its signal was listened for
            for key, _ in self._waiting.select():
                key.data(key.fileobj)
            self._reap()
        return command.returncode

    def _accept(self, listening: socket.socket) -> None:
        client, _ = listening.accept()
        room = array.array("i", [0, 0, 0])
        request, ancillary, _, _ = client.recvmsg(_MESSAGE, socket.CMSG_SPACE(len(room) * room.itemsize))
        files = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                files.frombytes(data[: len(data) - len(data) % files.itemsize])
        if len(files) != 3:
            client.close()
            return
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            self._become(client, json.loads(request), files)
        for file in files:
            os.close(file)
        self._jobs[client] = child
        self._waiting.register(client, selectors.EVENT_READ, self._signal)

    def _become(self, client: socket.socket, request: dict, files: "array.array[int]") -> None:
        """Is the job, in the child, and never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (*FORWARDED, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for open_here in (self._listening, client, *self._jobs):
                open_here.close()
            for target, file in enumerate(files):
                os.dup2(file, target)
                os.close(file)
            os.environ.clear()
            os.environ.update({k: v for k, v in request["environ"].items() if k != VARIABLE})
            os.chdir(request["folder"])
            sys.argv[1:] = request["arguments"]
            code = _job(request["arguments"])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # as the interpreter does at its end
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _signal(self, client: socket.socket) -> None:
        """Passes on the signal that a job's process was sent; the job ends with the process that asked for it."""
        try:
            received = client.recv(64)
        except OSError:
            received = b""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._jobs[client], int(received) if received else signal.SIGKILL)
        if not received:
            self._waiting.unregister(client)

    def _reap(self) -> None:
        for client, child in list(self._jobs.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                continue
            code = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(OSError):
                client.send(str(code if code >= 0 else 128 - code).encode())
            with contextlib.suppress(KeyError):
                self._waiting.unregister(client)
            client.close()
            del self._jobs[client]


def _job(arguments: list[str]) -> int:
    import torch

    if threads := os.environ.get("OMP_NUM_THREADS"):  # OpenMP read the server's
        torch.set_num_threads(int(threads))
    from helip.cli import main

    return main(arguments)


def main(command: list[str]) -> int:
    """Runs a command beside a warm server, and returns its exit code."""
    if not command or command[0].startswith("-"):
        print((__doc__ or "").partition("\n")[0], file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="helip-warm-") as folder:  # nobody else may enter it
        path = Path(folder) / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(str(path))
            listening.listen(64)
            try:
                running = subprocess.Popen(command, env=os.environ | {VARIABLE: str(path)})
            except OSError as error:
                print(f"helip warm: {command[0]}: cannot be run ({error.strerror})", file=sys.stderr)
                return 2
            for name in IMPORTED:
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
            gc.freeze()  # or each child copies what the collector touches
            code = _Server(listening).serve(running)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
