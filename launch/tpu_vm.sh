#!/usr/bin/env bash
# Trains on a Cloud TPU VM (v5e, v6e) by way of queued resources, on all its hosts.
#
#   launch/tpu_vm.sh [--dry-run] create | run FLAGS... | watch FLAGS... | delete
#
#   PROJECT=my-project ZONE=us-east5-b NAME=colorjax TYPE=v6e-8 launch/tpu_vm.sh create
#   ... launch/tpu_vm.sh run --config=configs/unet.py --workdir=gs://my-bucket/runs/unet
#
# create asks for the machine and waits until it is there; run copies this checkout, installs it and
# trains; watch does both again and again while spot machines are taken away; delete gives it back.
# Fill in by the environment: PROJECT, ZONE, NAME (colorjax), TYPE (v6e-8; v5litepod-8 for v5e),
# SPOT (1; 0: not), RUNTIME (by TYPE). Data and workdir lie in a bucket (gs://).
set -euo pipefail

usage() {
  sed -n '2,13s/^# \{0,1\}//p' "$0"
  exit 2
}

dry_run=false
if [[ ${1:-} == --dry-run ]]; then
  dry_run=true
  shift
fi
(($#)) || usage
action=$1
shift
: "${PROJECT:?give PROJECT, the id of your Google Cloud project}"
: "${ZONE:?give ZONE, one that has the TYPE}"
NAME=${NAME:-colorjax}
TYPE=${TYPE:-v6e-8}
SPOT=${SPOT:-1}
case $TYPE in
  v6e-*) RUNTIME=${RUNTIME:-v2-alpha-tpuv6e} ;;
  v5litepod-*) RUNTIME=${RUNTIME:-v2-alpha-tpuv5-lite} ;;
  *) : "${RUNTIME:?give RUNTIME, the software version of $TYPE}" ;;
esac
where=(--zone="$ZONE" --project="$PROJECT")

run() {
  if $dry_run; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

state() {
  gcloud compute tpus queued-resources describe "$NAME" "${where[@]}" \
    --format='value(state.state)' 2>/dev/null || echo NONE
}

create() {
  local spot=()
  if [[ $SPOT == 1 ]]; then spot=(--spot); fi
  run gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" \
    --accelerator-type="$TYPE" --runtime-version="$RUNTIME" "${spot[@]}" "${where[@]}"
  if $dry_run; then return; fi
  until [[ $(state) == ACTIVE ]]; do
    echo "tpu_vm.sh: $(state), waiting" >&2
    sleep 30
  done
}

delete() {
  run gcloud compute tpus queued-resources delete "$NAME" --force --quiet "${where[@]}"
}

on_all_hosts() {
  run gcloud compute tpus tpu-vm ssh "$NAME" --worker=all "${where[@]}" --command="$1"
}

train() {
  local archive=colorjax.tar.gz words
  words=$(printf '%q ' "$@")
  run git archive --format=tar.gz --output="/tmp/$archive" HEAD
  run gcloud compute tpus tpu-vm scp "/tmp/$archive" "$NAME:$archive" --worker=all "${where[@]}"
  on_all_hosts "mkdir -p colorjax && tar -xzf $archive -C colorjax && cd colorjax \
&& python3 -m pip install --quiet --editable .[tpu,gcs]"
  on_all_hosts "cd colorjax && python3 -m colorjax.main --distributed=auto $words"
}

case $action in
  create) create ;;
  delete) delete ;;
  run) train "$@" ;;
  watch)
    while true; do
      case $(if $dry_run; then echo NONE; else state; fi) in
        ACTIVE) ;;
        NONE) create ;;
        *)
          delete
          create
          ;;
      esac
      status=0
      train "$@" || status=$?
      # 75: told to stop. Others while the machine is there are faults of the run.
      if $dry_run || ((status == 0)) || { ((status != 75)) && [[ $(state) == ACTIVE ]]; }; then
        exit "$status"
      fi
    done
    ;;
  *) usage ;;
esac
