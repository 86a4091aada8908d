#!/bin/sh
# Before a removal (deb "remove", rpm 0), and not before an upgrade, which restarts the service at its end.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now recount.service
	fi
	;;
esac
