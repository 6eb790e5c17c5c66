#!/bin/sh
# Runs one purpose, from cron, whose own PATH does not hold `linkage` when that is in an environment:
#   PATH=/srv/linkage/.venv/bin:/usr/bin:/bin
#   30 1 * * *  LINKAGE_NOTIFY='mail -s "linkage" ics-data@example.org' /srv/linkage/nightly.sh /srv/linkage/linkage.toml
# A second start while one runs does no harm: the store is locked by the run itself, and a crash frees it.
#
# LINKAGE_NOTIFY   a command that is given the end of the log when a person is needed; nobody is called without it
# LINKAGE_TRIES    how often exit code 75 is tried again (4)
# LINKAGE_WAIT     seconds between two tries (900)
# LINKAGE_LOGS     the folder of logs (logs beside linkage.toml); those older than 30 days go
set -u

configuration=${1:?usage: nightly.sh linkage.toml}
tries=${LINKAGE_TRIES:-4}
logs=${LINKAGE_LOGS:-$(dirname "$configuration")/logs}
umask 077
mkdir -p "$logs" || exit 2
log=$logs/$(date -u +%Y%m%dT%H%M%SZ)-$$.log
events=$logs/events-$(date -u +%Y%m).jsonl

code=75
while [ "$code" -eq 75 ]; do
    linkage run "$configuration" --events "$events" >>"$log" 2>&1
    code=$?
    [ "$code" -eq 75 ] || break
    [ "$tries" -gt 0 ] || break
    tries=$((tries - 1))
    sleep "${LINKAGE_WAIT:-900}"
done

find "$logs" -type f \( -name '*.log' -o -name 'events-*.jsonl' \) -mtime +30 -exec rm -f {} +

if [ "$code" -ne 0 ] && [ -n "${LINKAGE_NOTIFY:-}" ]; then
    { echo "linkage run $configuration ended with exit code $code"; tail -n 20 "$log"; } | sh -c "$LINKAGE_NOTIFY"
fi
exit "$code"
