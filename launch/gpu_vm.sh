#!/usr/bin/env bash
# Trains on a cloud virtual machine with one or several GPUs (Google Compute Engine).
#
#   launch/gpu_vm.sh [--dry-run] create | run FLAGS... | delete
#
#   PROJECT=my-project ZONE=us-central1-a launch/gpu_vm.sh create
#   ... launch/gpu_vm.sh run --config=configs/unet.py --workdir=gs://my-bucket/runs/unet
#
# Environment variables: PROJECT, ZONE, NAME (colorjax), MACHINE (g2-standard-8, one L4;
# g2-standard-24: two; a2-highgpu-8g: eight A100), DISK (200GB), SPOT (1; 0: no spot machine), and
# IMAGE, a family of deeplearning-platform-release with an NVIDIA driver of at least 580. A preempted
# spot machine is stopped: start it and run again, which resumes. On any other cloud: a machine with
# such a driver, then the last two commands that `--dry-run run` prints.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=gcloud.sh
source "$(dirname "${BASH_SOURCE[0]}")/gcloud.sh"

MACHINE=${MACHINE:-g2-standard-8}
DISK=${DISK:-200GB}
IMAGE=${IMAGE:-common-cu129-ubuntu-2204-nvidia-580}

create() {
  local spot=()
  if [[ $SPOT == 1 ]]; then
    spot=(--provisioning-model=SPOT --instance-termination-action=STOP)
  fi
  run gcloud compute instances create "$NAME" --machine-type="$MACHINE" \
    --image-family="$IMAGE" --image-project=deeplearning-platform-release \
    --boot-disk-size="$DISK" --maintenance-policy=TERMINATE --scopes=cloud-platform \
    ${spot[@]+"${spot[@]}"} "${where[@]}"
}

on_machine() {
  run gcloud compute ssh "$NAME" "${where[@]}" --command="$1"
}

train() {
  local flags
  flags=$(printf '%q ' "$@")
  copy_checkout gcloud compute scp
  on_machine "$install .[cuda,gcs]"
  # One process drives all GPUs of the machine.
  on_machine "cd colorjax && PYTHON=.venv/bin/python launch/local.sh $flags"
}

case $action in
  create) create ;;
  run) train "$@" ;;
  delete) run gcloud compute instances delete "$NAME" --quiet "${where[@]}" ;;
  *) usage ;;
esac
