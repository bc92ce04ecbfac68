#!/bin/sh
# Makes the virtual environment of the Makefile, or leaves it alone when it is up to date.
#
#   tools/venv.sh find              print the Python that would be used
#   tools/venv.sh make DIR [EXTRA]  set up DIR with the requirements of setup.py (and of its extra, e.g. test)
#
# PYTHON= in the environment names the interpreter; without it the first of the candidates that really runs is taken.
#
# Gotchas:
#   A name on the PATH proves nothing: version managers put shims there that end with 127. Each candidate is run.
#   DIR/.lic-tf marks a folder as ours: nothing else is ever removed or changed.
#   DIR/.ready is written last and removed first, so an interrupted set-up is never trusted.
set -eu

say() { printf '%s\n' "$*" >&2; }

runs() { "$1" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] < (3, 12))' >/dev/null 2>&1; }

can_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    candidates=$PYTHON
  else
    candidates='python3.11 python3.10 python3.9 python3 python'
  fi
  without_venv=
  old_ifs=$IFS
  [ -n "${PYTHON:-}" ] && IFS='
'  # a path may hold spaces
  for candidate in $candidates; do
    if runs "$candidate"; then
      if can_venv "$candidate"; then
        printf '%s\n' "$candidate"
        return
      fi
      without_venv=${without_venv:-$candidate}
    fi
  done
  IFS=$old_ifs
  if [ -n "$without_venv" ]; then
    say "$without_venv has no venv or ensurepip: install them (Debian, Ubuntu: its -venv package), or name another: make PYTHON=/path/to/python3.11"
  elif [ -n "${PYTHON:-}" ]; then
    say "PYTHON=$PYTHON is no Python 3.9, 3.10 or 3.11 that runs (TensorFlow 2.14 supports no other)"
  else
    say "found no Python 3.9, 3.10 or 3.11 that runs (TensorFlow 2.14 supports no other): install one, or name it: make PYTHON=/path/to/python3.11"
  fi
  return 1
}

# What the environment was made from: its requirements, the checkout (an editable install points at it), the Python.
key() {
  cksum < setup.py
  cksum < pyproject.toml
  pwd -P
  if [ -n "${PYTHON:-}" ]; then "$PYTHON" --version 2>&1; else "$1/bin/python" --version 2>&1; fi
}

# Up to date: the same key, it holds the extra, and its Python still runs (the base Python may be gone).
ready() {
  [ -f "$1/.ready" ] && runs "$1/bin/python" && [ "$(sed '$d' "$1/.ready")" = "$(key "$1")" ] || return 1
  case " $(sed -n '$p' "$1/.ready") " in *" ${2:-base} "*) ;; *) return 1 ;; esac
}

pip_install() {
  python_of=$1/bin/python
  shift
  PIP_USER=0 "$python_of" -m pip install -qq --disable-pip-version-check "$@"
}

make_venv() {
  dir=$1 extra=${2:-}
  if ready "$dir" "$extra"; then return; fi
  if [ -e "$dir" ] && [ ! -e "$dir/.lic-tf" ] && [ -n "$(ls -A "$dir")" ]; then
    say "$dir exists and was not made by this Makefile: remove it, or name another folder: make VENV=folder"
    return 1
  fi
  # An extra is added to a finished environment; anything else starts from nothing.
  if ready "$dir"; then rm "$dir/.ready"; else
    python=$(find_python) || return 1
    rm -rf "$dir"
  fi
  say "setting up $dir${extra:+ with the $extra tools}, a few minutes the first time"
  mkdir -p "$dir"
  : > "$dir/.lic-tf"
  [ -x "$dir/bin/python" ] || "$python" -m venv "$dir"
  # The pip that Python 3.9 and 3.10 bring along tries versions for many minutes where a newer one needs seconds.
  if ! { pip_install "$dir" --upgrade 'pip<27' && pip_install "$dir" --editable ".${extra:+[$extra]}"; }; then
    rm -rf lic_tf.egg-info
    say "could not set up $dir: pip's reason stands above; the next make starts over"
    return 1
  fi
  rm -rf lic_tf.egg-info
  { key "$dir"; echo "base $extra"; } > "$dir/.ready.new"
  mv "$dir/.ready.new" "$dir/.ready"
}

case ${1:-} in
  find) find_python ;;
  make) make_venv "$2" "${3:-}" ;;
  *) say "usage: $0 find | make DIR [EXTRA]"; exit 2 ;;
esac
