#!/usr/bin/env bash
# Measures colorjax on one GPU in under ten minutes and prints one table (docs/devices.md).
#
#   benchmarks/gpu.sh [--dry-run] [--tiny] [--wheels FOLDER] OUTPUT
#
# Each part writes a file to OUTPUT. After MINUTES (9.5) no part is started; the same command does
# the parts that are missing. A signal ends it with the table so far. --dry-run prints the commands;
# --tiny takes tiny sizes, for a trial on a CPU; --wheels installs the packages of a folder first, for
# a machine without a network. Environment: PYTHON (python3), MINUTES, PARTS (a pattern of names).
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
MINUTES=${MINUTES:-9.5}
PARTS=${PARTS:-*}
dry_run=false tiny=false wheels='' output=''
while (($#)); do
  case $1 in
    --dry-run) dry_run=true ;;
    --tiny) tiny=true ;;
    --wheels)
      wheels=${2:?--wheels needs a folder}
      shift
      ;;
    -*)
      sed -n '2,9s/^# \{0,1\}//p' "benchmarks/gpu.sh"
      exit 2
      ;;
    *) output=$1 ;;
  esac
  shift
done
if [[ -z $output ]]; then
  sed -n '2,9s/^# \{0,1\}//p' "benchmarks/gpu.sh"
  exit 2
fi

[[ $output == /* ]] || output=$here/$output
[[ -z $wheels || $wheels == /* ]] || wheels=$here/$wheels
site=$output/site
export PYTHONPATH=$PWD${wheels:+:$site}${PYTHONPATH:+:$PYTHONPATH}
# Compiled programs are reused by later parts, and by the same command again.
export JAX_COMPILATION_CACHE_DIR=$output/cache TORCHINDUCTOR_CACHE_DIR=$output/inductor
# PyTorch needs memory in the same process.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
limit=$("$PYTHON" -c "print(int(60 * $MINUTES))")

run() { # NAME COMMAND...
  local name=$1
  shift
  # shellcheck disable=SC2053 # PARTS is a pattern
  [[ $name == $PARTS ]] || return 0
  if $dry_run; then
    printf '%s: ' "$name"
    printf '%q ' "$PYTHON" -m "$@"
    echo
    return 0
  fi
  [[ ! -s $output/$name.jsonl ]] || return 0
  local left=$((limit - SECONDS))
  if ((left < 10)); then
    echo "gpu.sh: no time is left for $name; the same command does it" >&2
    return 0
  fi
  # In the background, because bash handles a signal only after a command in the foreground.
  timeout -k 10 "$left" "$PYTHON" -m "$@" >"$output/$name.part" 2>"$output/$name.log" &
  child=$!
  if wait "$child"; then
    mv "$output/$name.part" "$output/$name.jsonl"
    echo "gpu.sh: $name, $SECONDS s" >&2
  else
    rm -f "$output/$name.part"
    echo "gpu.sh: $name failed: $(tail -n 1 "$output/$name.log")" >&2
  fi
}

# However the script ends (kill -9 excepted), it prints the table of the finished parts.
child=''
table() {
  local status=$?
  trap - EXIT
  [[ -z $child ]] || kill "$child" 2>/dev/null || true
  rm -f "$output"/*.part
  "$PYTHON" -m benchmarks.gpu_table "$output"
  exit "$status"
}

if ! $dry_run; then
  mkdir -p "$output"
  trap table EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [[ -n $wheels ]]; then
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
      --target "$site" "$wheels"/*.whl
  fi
fi

dtypes=(bfloat16 float32)
if $tiny; then
  names=(unet)
  declare -A configs=([unet]="configs/unet.py:size=32,width=0.0625")
  declare -A batches=([unet]=2)
  turns=(--steps 1 --repeats 1) side=256
  compiled=() # PyTorch takes minutes to compile for a CPU
  waiting=(--size 32 --batch 4 --steps 40 --width 0.0625)
else
  names=(semantic zhang16 unet ddcolor-tiny)
  declare -A configs=(
    [semantic]=configs/semantic.py:imagenet
    [zhang16]=configs/zhang16.py:size=256
    [unet]=configs/unet.py:size=256
    [ddcolor-tiny]=configs/ddcolor.py:encoder=convnext_t
  )
  declare -A batches=([semantic]=128 [zhang16]=64 [unet]=64 [ddcolor-tiny]=16)
  turns=(--steps 10 --repeats 3) side=8192
  compiled=(--torch-compile)
  waiting=()
fi

for dtype in "${dtypes[@]}"; do
  run "rate.$dtype" benchmarks.gpu_parts rate --dtype "$dtype" --side "$side"
done
for name in "${names[@]}"; do
  for dtype in "${dtypes[@]}"; do
    run "predict.$name.$dtype" benchmarks.step_time --config "${configs[$name]}" --forward \
      --batch "${batches[$name]}" --dtype "$dtype" --forms auto "${compiled[@]}" "${turns[@]}"
  done
done
for targets in device host; do # a run that was cut short had other photos
  $dry_run || [[ -s $output/waiting.$targets.jsonl ]] || rm -rf "$output/run-$targets"
done
run waiting.device benchmarks.gpu_parts waiting --targets device --workdir "$output/run-device" \
  --profile "${waiting[@]}"
run waiting.host benchmarks.gpu_parts waiting --targets host --workdir "$output/run-host" \
  "${waiting[@]}"
for dtype in "${dtypes[@]}"; do
  for name in "${names[@]}"; do
    part=(--config "${configs[$name]}" --batch "${batches[$name]}" --dtype "$dtype")
    run "memory.$name.$dtype" benchmarks.gpu_parts memory "${part[@]}"
    run "train.$name.$dtype" benchmarks.step_time "${part[@]}" --forms auto "${compiled[@]}" \
      "${turns[@]}"
  done
done
