# Everything that happens to jobs on a cluster, all at once: test_slurm_events.py makes it happen.
import os
import sys

HERE = os.environ["HERE"]
TRAIN = f"{sys.executable} '{HERE}/training.py'"


localrules:
    all,


rule all:
    input:
        expand("{name}.out", name=["limit", "preempted", "spot", "requeued", "cancelled", "failing", "lost", "first_gpu", "second_gpu", "wide"]),
        expand("shard{n}.txt", n=range(4)),
        "watched.out",


# Runs until the test has seen the deaths of others reported.
rule watched:
    output:
        "watched.out",
    shell:
        "until [ -e reported ]; do sleep 0.1; done; touch {output}"


# Slurm's time limits are whole minutes, its warnings early by up to half of one: warned, saved, requeued, as often as it takes.
rule limit:
    output:
        "limit.out",
    resources:
        runtime=2,
        requeues=20,
    shell:
        "{TRAIN} limit forever"


rule preempted:
    output:
        "preempted.out",
    resources:
        partition="low",
        gpu=6,
        runtime=8,  # submitit would count any warning of so short a job as a time-out
        requeues=0,
    shell:
        "{TRAIN} preempted forever"


# Slurm cancels it in favour of another, as often as it likes.
rule spot:
    output:
        "spot.out",
    resources:
        partition="spot",
        gpu=1,
        runtime=8,
        requeues=0,
    shell:
        "{TRAIN} spot forever"


rule requeued:
    output:
        "requeued.out",
    shell:
        "{TRAIN} requeued forever"


rule cancelled:
    output:
        "cancelled.out",
    shell:
        "{TRAIN} cancelled forever"


rule failing:
    output:
        "failing.out",
    log:
        "failing.log",
    shell:
        "echo last words: $((6 * 7)) > {log}; kill -9 $$"


rule lost:
    output:
        "lost.out",
    shell:
        "{TRAIN} lost forever"


# Each waits until the other has started: they can only end if they run at the same time.
rule gpu:
    output:
        "{name}_gpu.out",
    resources:
        gpu=1,
    params:
        other=lambda w: "second" if w.name == "first" else "first",
    shell:
        "echo $CUDA_VISIBLE_DEVICES > {wildcards.name}.started;"
        " for i in $(seq 6000); do [ -e {params.other}.started ] && break; sleep 0.1; done;"
        " [ -e {params.other}.started ] && cp {wildcards.name}.started {output}"


rule wide:
    output:
        "wide.out",
    resources:
        gpu=2,
        runtime=2,
        requeues=20,
    shell:
        "{sys.executable} -m helip.launch --gpus {resources.gpu} {sys.executable} '{HERE}/gather.py' wide"


rule shard:
    output:
        "shard{n}.txt",
    shell:
        "echo $SLURM_ARRAY_TASK_ID > {output}"


rule threads:
    output:
        "threads.out",
    threads: 6
    shell:
        "echo {threads} $OMP_NUM_THREADS > {output}"
