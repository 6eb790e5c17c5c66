#!/usr/bin/env bash
# A key is in the wrong hands, or may be: stop its use, move the store to a new one, and write down what was done.
#
#   compromise.sh linkage.toml age://keys/ics.age KEY report-folder
#
# KEY is the key version's id, from `linkage keys list`. Nothing is destroyed and nothing confirmed: that is for people, at the end.
set -euo pipefail
configuration=$1 keyset=$2 key=$3 report=$4
log="$(dirname "$configuration")/audit"
umask 077
mkdir "$report"

# What the log said before anything was done, to hold it against afterwards.
linkage audit checkpoint "$configuration" --out "$report/checkpoint-before"

# 1. Disable: from here on nothing makes or opens a token of this key, and nightly runs stop with exit code 5.
linkage keys disable "$keyset" "$key" --audit "$log"

# 2. Rotate: a new version, which nothing uses yet.
linkage keys rotate "$keyset" --audit "$log"

# 3. Rekey: the store has new tokens, and the domain makes its next ones with the new version.
linkage keys rekey "$configuration"

# 4. Report: what the log says, proven to continue what it said before, and which keys there are now.
linkage audit verify "$configuration" --against "$report/checkpoint-before" > "$report/verified"
linkage keys list "$keyset" --audit "$log" > "$report/keys"
linkage runs list "$configuration" > "$report/runs"
linkage audit export "$configuration" "$report/log"
linkage audit checkpoint "$configuration" --out "$report/checkpoint-after"

cat <<END
The store has tokens of the new key. Left for people to do:
  - run \`linkage run $configuration --full\` soon: until then late opt-outs cannot be taken out of what is held
  - look at the new snapshot, then: linkage keys rekey $configuration --confirm
  - other purposes that used the key: rekey each of them
  - sites whose domain used the key: linkage keys choose, linkage keys site, linkage keys renew, and a whole hand-over
  - a new backup of the keyset; then, when nothing needs the old key: linkage keys destroy $keyset $key --sure
  - whoever holds a copy of the old store and the old key can turn it back: say who had copies, and treat it as a breach
  - give $report/checkpoint-after to the witness
END
