"""A real Slurm of one machine for tests: munged, slurmctld and two slurmd on localhost, in a temporary folder, up in seconds.

GPUs are posed by character devices (clones of /dev/null): Slurm counts them, hands them out and sets CUDA_VISIBLE_DEVICES.
Node n1 has eight "v100" and node n2 two; both believe in more cores than the machine has. There is no accounting, so no `sacct`.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={run}/munge.sock,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={run}/state
SlurmdSpoolDir={run}/spool.%n
SlurmctldPidFile={run}/slurmctld.pid
SlurmdPidFile={run}/slurmd.%n.pid
SlurmctldLogFile={run}/slurmctld.log
SlurmdLogFile={run}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,bf_interval=5,sched_interval=5
GresTypes=gpu
KillWait=5
MinJobAge=3600
ReturnToService=2
MailProg=/bin/true
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=80 CoresPerSocket=80 RealMemory=100000 Gres=gpu:v100:8 Feature=v100
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=80 CoresPerSocket=80 RealMemory=100000 Gres=gpu:v100:2 Feature=v100
PartitionName=normal Nodes=n1,n2 Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=off
PartitionName=low Nodes=n1 MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=spot Nodes=n1 MaxTime=INFINITE PriorityTier=1 PreemptMode=CANCEL
PartitionName=urgent Nodes=n1 MaxTime=INFINITE PriorityTier=100 PreemptMode=off
"""


def why_not() -> str | None:
    """Why a test Slurm cannot run here; None when it can."""
    missing = [p for p in PROGRAMS if shutil.which(p) is None]
    if missing:
        return f"no {', '.join(missing)} here (Debian packages slurm-wlm and munge)"
    if os.geteuid() != 0:
        return "a test Slurm needs root: slurmd starts jobs as their user and character devices pose as GPUs"
    return None


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _die_with_parent() -> None:
    """A killed pytest leaves no Slurm behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Slurm:
    def __init__(self, run: Path):
        self.run, self.daemons = run, []
        self.environ = {**os.environ, "SLURM_CONF": str(run / "slurm.conf")}

    def _write(self) -> None:
        for folder in ("state", "spool.n1", "spool.n2", "dev"):
            (self.run / folder).mkdir(parents=True)
        self.run.chmod(0o755)  # munged refuses a socket in a folder that others may write to
        (self.run / "munge.key").write_bytes(os.urandom(128))
        (self.run / "munge.key").chmod(0o600)
        text = CONF.format(host=socket.gethostname().split(".")[0], user="root", run=self.run, ports=free_ports(3))
        (self.run / "slurm.conf").write_text(text)
        lines = []
        for node, count in (("n1", 8), ("n2", 2)):
            for i in range(count):
                device = self.run / "dev" / f"{node}gpu{i}"
                os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))
            lines.append(f"NodeName={node} Name=gpu Type=v100 File={self.run}/dev/{node}gpu[0-{count - 1}]")
        (self.run / "gres.conf").write_text("\n".join(lines) + "\n")

    def _spawn(self, *command: str) -> None:
        with open(self.run / "daemons.log", "ab") as log:
            streams = {"stdout": log, "stderr": log, "preexec_fn": _die_with_parent}
            self.daemons.append(subprocess.Popen(command, **streams, env=self.environ, start_new_session=True))

    def _wait(self, what: str, ready, seconds: float = 600) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            dead = [d.args[0] for d in self.daemons if d.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = "\n".join(f"--- {p.name}\n{p.read_text()[-2000:]}" for p in sorted(self.run.glob("*.log")))
                self.stop()
                raise RuntimeError(f"the test Slurm did not start ({what}; ended: {dead or 'none'})\n{logs}")
            time.sleep(0.05)

    def start(self) -> "Slurm":
        self._write()
        files = [f"--{k}={self.run}/munge.{k}" for k in ("pid-file", "log-file", "seed-file")]
        self._spawn("munged", "--foreground", "--force", f"--key-file={self.run}/munge.key", f"--socket={self.run}/munge.sock", *files)
        self._wait("munge socket", (self.run / "munge.sock").exists)
        self._spawn("slurmctld", "-D", "-c")
        for node in ("n1", "n2"):
            self._spawn("slurmd", "-D", "-N", node)
        self._wait(
            "both nodes idle", lambda: self.call("sinfo", "-h", "-N", "-p", "normal", "-o", "%T", check=False).split() == ["idle"] * 2
        )
        return self

    def call(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=600, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """job id -> state of every job this Slurm remembers."""
        lines = self.call("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def silence(self, how: str) -> None:
        """The controller hangs (it accepts and says nothing) or is stopped; the nodes and their jobs go on."""
        self.controller.send_signal(signal.SIGSTOP if how == "hung" else signal.SIGTERM)
        if how == "stopped":
            self.controller.wait()

    def answer(self) -> None:
        """The controller that hung goes on; one that was stopped is started again with the state that it had saved."""
        if self.controller.poll() is None:
            self.controller.send_signal(signal.SIGCONT)
        else:
            self.daemons.remove(self.controller)
            self._spawn("slurmctld", "-D")
        self._wait("the controller to answer", lambda: self.call("scontrol", "ping", check=False).count("UP"))

    @property
    def controller(self) -> subprocess.Popen:
        return next(daemon for daemon in self.daemons if daemon.args[0] == "slurmctld")

    def stop(self) -> None:
        if len(self.daemons) > 1:  # a job's slurmstepd outlives the daemons when it cannot tell them its end
            self.call("scancel", "-u", "root", "-f", "--signal=KILL", check=False)
            self.call("scancel", "-u", "root", check=False)
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and self.call("squeue", "-h", check=False).strip():
                time.sleep(0.1)
        for daemon in reversed(self.daemons):
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
        for daemon in self.daemons:
            try:
                daemon.wait(timeout=60)
            except subprocess.TimeoutExpired:
                daemon.kill()


if __name__ == "__main__":  # by hand: python tests/slurm/cluster.py FOLDER, then export SLURM_CONF=FOLDER/slurm.conf
    begin = time.monotonic()
    slurm = Slurm(Path(sys.argv[1])).start()
    print(f"up in {time.monotonic() - begin:.1f} s: export SLURM_CONF={slurm.run}/slurm.conf; Ctrl-C stops it", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        slurm.stop()
