#!/bin/sh
# fresh-machine.sh - clone the repository on a Debian 12 that has git, make and ca-certificates only,
# and type `make demo` and `make check` there: once as root without sudo, once as a user with sudo.
#
# usage: fresh-machine.sh [DIR]    (root; needs debootstrap and git)
#
# What is cloned is the HEAD of this repository, or of $REPO. DIR (default: a new one under /var/tmp)
# holds the root file systems; one that was there before is used again as the base. The mirror, the
# sources and the network settings are those of this machine's own apt.
set -eu

repo=${REPO:-$(cd "$(dirname "$0")/.." && pwd)}
dir=${1:-$(mktemp -d /var/tmp/txkv-fresh.XXXXXX)}
release=bookworm
base=$dir/base
bad=0

say() { printf '== %s  %s\n' "$(date +%T)" "$*"; }

# URI, suite and component of every Debian source that this machine uses.
sources() {
    # shellcheck disable=SC2016 # apt's own placeholders
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
        'Origin: Debian' | grep " $release" | sort -u
}

# Runs a command in a root, with a /proc and process numbers of its own; all its processes end with it.
inside() {
    root=$1
    shift
    unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" \
        chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}

make_base() {
    mirror=$(sources | awk -v r="$release" '$2 == r {print $1; exit}')
    [ -n "$mirror" ] || { echo "no apt source for Debian $release here" >&2; exit 1; }
    say "debootstrap $release from $mirror, with git, make and ca-certificates only"
    debootstrap --variant=minbase --include=git,make,ca-certificates "$release" "$base.new" "$mirror" \
        >"$dir/debootstrap.log" 2>&1 || { tail -n 20 "$dir/debootstrap.log" >&2; exit 1; }
    sources | sed 's/^/deb /' >"$base.new/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Check|Languages|Retries)' \
        >"$base.new/etc/apt/apt.conf.d/90this-machine" || true
    cp /etc/resolv.conf /etc/hosts "$base.new/etc/"
    mv "$base.new" "$base"
}

# fresh NAME: a copy of the base with the repository's HEAD in a bundle, which anybody may clone.
fresh() {
    rm -rf "${dir:?}/$1"
    cp -a --reflink=auto "$base" "$dir/$1"
    cp "$dir/txkv.bundle" "$dir/$1/srv/"
    chmod 644 "$dir/$1/srv/txkv.bundle"
}

# shellcheck disable=SC2016 # the shell inside expands it
# The two commands as the README has them, in an empty folder.
commands='set -e; mkdir ~/empty; cd ~/empty; git clone -q -c advice.detachedHead=false /srv/txkv.bundle txkv; cd txkv; bad=0
    for target in demo check; do
        begin=$(date +%s); rc=0
        make $target >~/$target.log 2>&1 || rc=$?
        echo "   $(id -un): make $target: exit code $rc after $(($(date +%s) - begin)) s; its last lines:"
        tail -n 4 ~/$target.log | sed "s/^/   | /"
        [ $rc -eq 0 ] || { bad=1; grep -A 30 -E "^FAIL|rror" ~/$target.log | sed "s/^/   ! /"; }
    done
    exit $bad'

mkdir -p "$dir"
[ -d "$base" ] || make_base
git -C "$repo" bundle create -q "$dir/txkv.bundle" HEAD

say "as root, no sudo on the machine"
fresh as-root
inside "$dir/as-root" sh -c "$commands" || bad=1

say "as a user with sudo"
fresh as-user
inside "$dir/as-user" sh -ec 'apt-get -qq update; apt-get -qq -y install --no-install-recommends sudo
    useradd -m -s /bin/sh dev; echo "dev ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/dev' >"$dir/sudo.log" 2>&1 ||
    { cat "$dir/sudo.log"; exit 1; }
inside "$dir/as-user" su - dev -c "$commands" || bad=1

say "$([ "$bad" -eq 0 ] && echo "both commands end well for both" || echo "FAILED"); the roots are in $dir"
exit "$bad"
