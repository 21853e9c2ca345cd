"""A training in miniature: counts steps into a state file; at USR2 or TERM it saves and asks to be requeued (exit 75).

python training.py NAME STEPS: one step takes 0.1 s; NAME.out says at which step each start went on. `forever` waits for the first signal.
"""

import os
import signal
import sys
import time
from pathlib import Path

name, steps = sys.argv[1], sys.argv[2]
state, told = Path(f"{name}.state"), []
for number in (signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, lambda n, frame: told.append(n))
lines = state.read_text().splitlines() if state.exists() else []
step = int(lines[-1].split()[1]) if lines else 0
lines.append(f"from {step} gpus {os.environ.get('CUDA_VISIBLE_DEVICES', 'none')}")
print(f"{name} goes on from step {step}", flush=True)
last = 20 if steps != "forever" or len(lines) > 1 else 10**9
last = int(steps) if steps != "forever" else last + (step if len(lines) > 1 else 0)
while step < last:
    time.sleep(0.1)
    step += 1
    if step % 10 == 0 or told:
        state.with_suffix(".new").write_text("\n".join([*lines[:-1], lines[-1], f"at {step}"]) + "\n")
        state.with_suffix(".new").replace(state)
    if told:
        print(f"{name} was told {told[0]} at step {step}: saved", flush=True)
        sys.exit(75)
Path(f"{name}.out").write_text("\n".join([*lines, f"at {step}"]) + "\n")
