#!/bin/sh
# Installs recount from a folder that holds an archive and SHA256SUMS. It needs no network.
#
#   install.sh [--prefix /usr/local] [--no-engine] [--sums FILE] [FOLDER]
#
# The program goes to PREFIX/bin, the engine library to PREFIX/lib/recount, and the rest to PREFIX/share/doc/recount.
# Nothing is installed unless the archive has the checksum that SHA256SUMS states. A person who can change the archive
# can change SHA256SUMS beside it too: take the file from a place that you trust, and name it with --sums.
set -eu
umask 022 # Others must be able to run the program and to read the engine, whatever the caller's umask is.

fail() {
	echo "install.sh: $1" >&2
	exit 1
}

prefix=/usr/local
folder=$(dirname "$0")
sums=
kind=engine
while [ $# -gt 0 ]; do
	case "$1" in
	--prefix | --sums)
		[ $# -ge 2 ] || fail "$1 needs a value"
		if [ "$1" = --prefix ]; then prefix=$2; else sums=$2; fi
		shift
		;;
	--no-engine) kind=no-engine ;;
	-h | --help)
		sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	-*) fail "unknown flag $1; see --help" ;;
	*) folder=$1 ;;
	esac
	shift
done
sums=${sums:-$folder/SHA256SUMS}

case "$(uname -s)-$(uname -m)" in
Linux-x86_64) platform=linux-amd64 ;;
Linux-aarch64) platform=linux-arm64 ;;
*) fail "there is no archive for $(uname -s) on $(uname -m)" ;;
esac
[ "$kind" = engine ] || platform=$platform-$kind

archive=
for file in "$folder"/recount-*-"$platform".tar.gz; do
	[ -f "$file" ] || fail "$folder holds no recount-VERSION-$platform.tar.gz"
	[ -z "$archive" ] || fail "$folder holds several archives, such as $archive and $file: leave one"
	archive=$file
done
[ -f "$sums" ] || fail "$sums is missing: without it nothing says that $archive is whole"

name=$(basename "$archive" .tar.gz)
stated=$(awk -v name="$name.tar.gz" '$2 == name { print $1 }' "$sums")
[ -n "$stated" ] || fail "$sums does not list $name.tar.gz"

# The archive is copied and checked before it is unpacked, so that nobody changes it in between.
work=$(mktemp -d "${TMPDIR:-/tmp}/recount-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM # sh runs the trap of EXIT after a signal only if this one ends it.
cp "$archive" "$work/archive"
found=$(sha256sum "$work/archive" | cut -d ' ' -f 1)
[ "$found" = "$stated" ] || fail "$archive is not what $sums lists: its SHA-256 is $found, not $stated; get it again"
tar -xzf "$work/archive" -C "$work" --no-same-owner
rm "$work/archive"

# replace FILE FOLDER MODE: a running program keeps the file that it has, because the new one is renamed over it.
replace() {
	mkdir -p "$2"
	install -m "$3" "$work/$name/$1" "$2/.$1.new"
	mv -f "$2/.$1.new" "$2/$1"
}
engine=$prefix/lib/recount/libchdb.so
if [ "$kind" = engine ]; then
	replace libchdb.so "$prefix/lib/recount" 0644
elif [ -e "$engine" ]; then
	echo "$engine is left from an earlier installation. Without clickhouse.url the program uses it, whatever version it"
	echo "is: remove it, or install the archive with the engine."
fi
replace recount "$prefix/bin" 0755
rm -rf "$prefix/share/doc/recount"
mkdir -p "$prefix/share/doc/recount"
for file in LICENSE licenses sbom.cdx.json recount.yaml recount.service recount.sysusers; do
	cp -R "$work/$name/$file" "$prefix/share/doc/recount/"
done

"$prefix/bin/recount" version
echo "Next: $prefix/bin/recount up --config $prefix/share/doc/recount/recount.yaml"
