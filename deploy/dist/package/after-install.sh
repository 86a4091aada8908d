#!/bin/sh
# After an install or an upgrade: deb passes "configure" and the old version, rpm passes the number of versions.
set -e

if ! getent passwd recount >/dev/null; then
	if command -v systemd-sysusers >/dev/null; then
		systemd-sysusers recount.conf
	else
		useradd --system --user-group --home-dir /var/lib/recount --no-create-home --shell /usr/sbin/nologin recount
	fi
fi
install -d -o recount -g recount -m 0750 /var/lib/recount
# The file may hold passwords of engines, so only root and the service read it.
chown root:recount /etc/recount
chmod 0750 /etc/recount
if [ -e /etc/recount/recount.yaml ]; then # An administrator may have removed it, and dpkg leaves it so.
	chown root:recount /etc/recount/recount.yaml
fi

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart recount.service
fi
if [ "$1" = 1 ] || { [ "$1" = configure ] && [ -z "$2" ]; }; then
	echo "recount: edit /etc/recount/recount.yaml, then: systemctl enable --now recount"
fi
