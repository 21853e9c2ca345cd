#!/usr/bin/env bash
# Everything of this project that only a GPU can tell, in under ten minutes on one: bash benchmarks/gpu/run.sh OUT
# OUT gets small files: a log and a row of each step, the rehearsal's table and costs. Commit the rows with machine and date.
# HELIP_GPU_QUICK=1 runs every step in reduced form on a CPU, to try the script itself.
set -u
out=$(realpath "${1:?usage: run.sh OUT}")
mkdir -p "$out"
cd "$(dirname "$0")/../.."
python=${HELIP_PYTHON:-.venv/bin/python}
export PYTHONPATH=$PWD:$PWD/slurm HF_HUB_OFFLINE=1 no_proxy='*'
device=cuda mining=1000000 large=3000000 within=1.8
if [ "${HELIP_GPU_QUICK:-0}" = 1 ]; then device=cpu mining=4000 large=8000 within=0.2; fi

# The limits add up to 590 s. A rehearsal writes its table at its end: it begins no kind after 1.8 minutes, and none takes longer than 60 s.
# step NAME SECONDS COMMAND...: its log, its exit code and seconds; a step that fails or hangs stops none of the others.
step() {
    local name=$1 limit=$2 begun=$SECONDS
    shift 2
    timeout "$limit" "$@" > "$out/$name.log" 2>&1
    echo "$name $? $((SECONDS - begun)) s" | tee -a "$out/steps.txt"
}

: > "$out/steps.txt"
step machine 20 "$python" -m helip doctor
step mining_1m 80 "$python" benchmarks/mining.py --n $mining --k 500 --device $device --methods helip --memory 8GiB --out "$out/mining.jsonl"
step mining_3m 170 "$python" benchmarks/mining.py --n $large --k 500 --device $device --methods helip --memory 16GiB --out "$out/mining.jsonl"
# The Triton miner against the other kernels, resume under CUDA, fp16 with its scaler.
if [ $device = cuda ]; then
    step kernels 80 "$python" -m pytest -q -p no:cacheprovider tests/mining/test_mining_engines.py tests/training/test_step.py
fi
step training 50 "$python" benchmarks/gpu/training.py --device $device --out "$out/training.jsonl"
work=$(mktemp -d)
step rehearsal 190 "$python" benchmarks/rehearsal/here.py "$work/here" --within $within --device $device \
    --limit-s 30 --out "$out/rehearsal.html" --costs "$out/paper.costs.yaml" --only corpus encode train evaluate
rm -rf "$work"
cat "$out/steps.txt"
! grep -qvE '^[a-z0-9_]+ 0 |^(machine|rehearsal) 1 ' "$out/steps.txt"  # findings are what doctor and rehearsal are for
