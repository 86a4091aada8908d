#!/bin/sh
# The data and the user stay, also after a purge: only their owner can say that the events are not needed any more.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case "$1" in
purge | 0)
	if [ -d /var/lib/recount ]; then
		echo "recount: the data stays in /var/lib/recount"
	fi
	;;
esac
