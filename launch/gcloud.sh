# shellcheck shell=bash disable=SC2034 # the scripts that source this file use the variables
# Sourced by gpu_vm.sh and tpu_vm.sh: reads their arguments and environment and defines what both use.

# Prints the first comment of the script.
usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
  exit 2
}

# Runs a command; in a dry run prints it only.
run() {
  if $dry_run; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

# Copies this checkout to the machine with "$@", the gcloud command for copies.
copy_checkout() {
  run git archive --format=tar.gz --output="/tmp/$archive" HEAD
  run "$@" "/tmp/$archive" "$NAME:$archive" "${where[@]}"
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
: "${ZONE:?give ZONE, one that has the machine}"
NAME=${NAME:-colorjax}
SPOT=${SPOT:-1}
where=(--zone="$ZONE" --project="$PROJECT")
archive=colorjax.tar.gz
# Unpacks the checkout and makes .venv; the machine's own Python may be too old.
install="mkdir -p colorjax && tar -xzf $archive -C colorjax && cd colorjax && \
curl --proto =https -LsSf https://astral.sh/uv/install.sh | sh && \
~/.local/bin/uv venv --quiet --allow-existing --python 3.12 .venv && \
~/.local/bin/uv pip install --quiet --editable"
