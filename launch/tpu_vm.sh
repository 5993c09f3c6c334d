#!/usr/bin/env bash
# Trains on a Cloud TPU VM (v5e, v6e) with queued resources, on all its hosts.
#
#   launch/tpu_vm.sh [--dry-run] create | run FLAGS... | watch FLAGS... | delete
#
#   PROJECT=my-project ZONE=us-east5-b NAME=colorjax TYPE=v6e-8 launch/tpu_vm.sh create
#   ... launch/tpu_vm.sh run --config=configs/unet.py --workdir=gs://my-bucket/runs/unet
#
# create requests the machine and waits until it is active; run copies this checkout, installs it and
# trains; watch repeats both whenever a spot machine is preempted; delete deletes the machine.
# Environment variables: PROJECT, ZONE, NAME (colorjax), TYPE (v6e-8; v5litepod-8 for v5e),
# SPOT (1; 0: no spot machine), RUNTIME (by TYPE). Data and workdir must be in a bucket (gs://).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=gcloud.sh
source "$(dirname "${BASH_SOURCE[0]}")/gcloud.sh"

TYPE=${TYPE:-v6e-8}
case $TYPE in
  v6e-*) RUNTIME=${RUNTIME:-v2-alpha-tpuv6e} ;;
  v5litepod-*) RUNTIME=${RUNTIME:-v2-alpha-tpuv5-lite} ;;
  *) : "${RUNTIME:?give RUNTIME, the software version of $TYPE}" ;;
esac

state() {
  gcloud compute tpus queued-resources describe "$NAME" "${where[@]}" \
    --format='value(state.state)' 2>/dev/null || echo NONE
}

create() {
  local spot=()
  if [[ $SPOT == 1 ]]; then spot=(--spot); fi
  run gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" \
    --accelerator-type="$TYPE" --runtime-version="$RUNTIME" ${spot[@]+"${spot[@]}"} "${where[@]}"
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
  local flags
  flags=$(printf '%q ' "$@")
  copy_checkout gcloud compute tpus tpu-vm scp --worker=all
  on_all_hosts "$install .[tpu,gcs]"
  on_all_hosts "cd colorjax && .venv/bin/python -m colorjax.main --distributed=auto $flags"
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
      # 75: stopped by a signal. Another status while the machine exists is an error of the run.
      if $dry_run || ((status == 0)) || { ((status != 75)) && [[ $(state) == ACTIVE ]]; }; then
        exit "$status"
      fi
    done
    ;;
  *) usage ;;
esac
