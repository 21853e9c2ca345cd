"""python meet.py 0|1 OUT: waits for its twin to start, then writes which GPU and how many threads it was given."""

import os
import sys
import time
from pathlib import Path

me, out = sys.argv[1:]
Path(f"{me}.here").touch()
for _ in range(300):
    if Path(f"{1 - int(me)}.here").exists():
        Path(out).write_text(f"{os.environ['CUDA_VISIBLE_DEVICES']} threads {os.environ['OMP_NUM_THREADS']}")
        sys.exit()
    time.sleep(0.1)
sys.exit("the other never came")
