#!/bin/bash
# Training steps of all methods beside PyTorch float32, one thread each, in processor time.
#
#     benchmarks/step_table.sh [RESULTS.jsonl]      # about 25 minutes on a quiet core
#
# Prints a Markdown table: images per second of both, and the ratio within each run (above 1: JAX is
# faster). A config that is in RESULTS.jsonl already is not measured again.
set -u
results=${1:-step_table.jsonl}
python=${PYTHON:-.venv/bin/python}
core=${CORE:-1}
touch "$results"
while read -r config size batch; do
  grep -q "\"config\": \"$config\"" "$results" && continue
  JAX_PLATFORMS=cpu taskset -c "$core" "$python" -m benchmarks.step_time --config "$config" \
    --size "$size" --batch "$batch" --forms auto --steps 1 --repeats 7 --cpu --torch-threads 1 \
    >> "$results" || echo "$config failed" >&2
done <<END
configs/semantic.py 128 16
configs/unet.py 32 64
configs/cgan.py 32 64
configs/zhang16.py 64 8
configs/plain_cnn.py 64 16
configs/iizuka.py 64 8
configs/edge_fusion.py 64 8
END
"$python" - "$results" <<END
import json, sys

rows = [json.loads(line) for line in open(sys.argv[1])]
print("| config | batch x px | JAX images/s | PyTorch | ratio |\n|---|---|---:|---:|---:|")
for ours in (row for row in rows if row["row"] == "auto"):
    peer = next((x for x in rows if x["row"] == "torch" and x["config"] == ours["config"]), None)
    rate = f"{peer['images_per_second']:.1f}" if peer else ours["peer"]
    print(f"| {ours['config']} | {ours['batch']} x {ours['size']} | "
          f"{ours['images_per_second']:.1f} | {rate} | {ours.get('ratio_to_peer', '')} |")
END
