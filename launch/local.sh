#!/usr/bin/env bash
# Trains on all devices of this machine (CPU, one GPU, several GPUs), and restarts after an
# interruption: status 75 means that the same command resumes.
#
#   launch/local.sh [--dry-run] --config=configs/unet.py --workdir=runs/unet [--config.FIELD=VALUE ...]
#
# Ctrl-C saves and ends. Environment variables: RESTARTS (20), the most restarts; PYTHON (python).
set -euo pipefail

PYTHON=${PYTHON:-python}
RESTARTS=${RESTARTS:-20}
dry_run=false
if [[ ${1:-} == --dry-run ]]; then
  dry_run=true
  shift
fi
if (($# == 0)) || [[ $1 == --help ]]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0"
  exit 2
fi
# Memory in huge pages: a step on a CPU is up to a fifth faster (docs/devices.md).
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
command=("$PYTHON" -m colorjax.main "$@")
if $dry_run; then
  printf '%q ' "${command[@]}"
  echo
  exit 0
fi

stopped=false
child=
# shellcheck disable=SC2329 # called by the trap
stop() {
  stopped=true
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}
trap stop INT TERM

for ((start = 0; start <= RESTARTS; start++)); do
  "${command[@]}" &
  child=$!
  status=0
  wait "$child" || status=$?
  # A trapped signal ends a wait early while the program still saves. 127: no child is left.
  while $stopped && ((status > 128)); do
    again=0
    wait "$child" || again=$?
    ((again != 127)) || break
    status=$again
  done
  if ((status != 75)) || $stopped; then
    exit "$status"
  fi
  echo "local.sh: interrupted, restarting ($((start + 1)) of $RESTARTS)" >&2
done
exit 75
