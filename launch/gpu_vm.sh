#!/usr/bin/env bash
# Trains on a cloud virtual machine with one or several GPUs (Google Compute Engine).
#
#   launch/gpu_vm.sh [--dry-run] create | run FLAGS... | delete
#
#   PROJECT=my-project ZONE=us-central1-a launch/gpu_vm.sh create
#   ... launch/gpu_vm.sh run --config=configs/unet.py --workdir=gs://my-bucket/runs/unet
#
# Fill in by the environment: PROJECT, ZONE, NAME (colorjax), MACHINE (g2-standard-8, one L4;
# g2-standard-24: two; a2-highgpu-8g: eight A100), DISK (200GB), SPOT (1; 0: not), and IMAGE, a family
# of deeplearning-platform-release with an NVIDIA driver of at least 580. A spot machine that is taken
# away is stopped: start it and run again, which resumes. On any other cloud: a machine with such a
# driver, then the two commands that `--dry-run run` prints last.
set -euo pipefail

usage() {
  sed -n '2,14s/^# \{0,1\}//p' "$0"
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
: "${ZONE:?give ZONE, one that has the MACHINE}"
NAME=${NAME:-colorjax}
MACHINE=${MACHINE:-g2-standard-8}
DISK=${DISK:-200GB}
SPOT=${SPOT:-1}
IMAGE=${IMAGE:-common-cu129-ubuntu-2204-nvidia-580}
where=(--zone="$ZONE" --project="$PROJECT")

run() {
  if $dry_run; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

create() {
  local spot=()
  if [[ $SPOT == 1 ]]; then
    spot=(--provisioning-model=SPOT --instance-termination-action=STOP)
  fi
  run gcloud compute instances create "$NAME" --machine-type="$MACHINE" \
    --image-family="$IMAGE" --image-project=deeplearning-platform-release \
    --boot-disk-size="$DISK" --maintenance-policy=TERMINATE --scopes=cloud-platform \
    "${spot[@]}" "${where[@]}"
}

on_it() {
  run gcloud compute ssh "$NAME" "${where[@]}" --command="$1"
}

train() {
  local archive=colorjax.tar.gz words
  words=$(printf '%q ' "$@")
  run git archive --format=tar.gz --output="/tmp/$archive" HEAD
  run gcloud compute scp "/tmp/$archive" "$NAME:$archive" "${where[@]}"
  on_it "mkdir -p colorjax && tar -xzf $archive -C colorjax && cd colorjax && python3 -m venv .venv \
&& .venv/bin/pip install --quiet --editable .[cuda,gcs]"
  # One process drives all GPUs of the machine.
  on_it "cd colorjax && PYTHON=.venv/bin/python launch/local.sh $words"
}

case $action in
  create) create ;;
  run) train "$@" ;;
  delete) run gcloud compute instances delete "$NAME" --quiet "${where[@]}" ;;
  *) usage ;;
esac
