#!/usr/bin/env bash
# From a backup to a working store, with the identity from the safe: proves that both are what they should be.
#
#   restore.sh backup-folder new-folder identity-from-the-safe checkpoint-from-elsewhere
#
# The backup is a copy of the folder of linkage.toml, with the keyset, the store, the private folder and the log, taken while no run was
# under way. The checkpoint is one from before the backup was taken. Use a new folder: nothing that exists is touched.
set -euo pipefail
backup=$1 target=$2 identity=$3 checkpoint=$4
umask 077
if [ -e "$target" ]; then
    echo "error: $target exists" >&2
    exit 2
fi
cp -a "$backup" "$target"
export LINKAGE_IDENTITY=$identity
cd "$target"

# 1. The log is whole, and continues the checkpoint that lies elsewhere.
linkage audit verify linkage.toml --against "$checkpoint"

# 2. The keyset opens with the identity from the safe.
keyset=$(sed -n 's/^keyset *= *"\(.*\)"/\1/p' linkage.toml)
linkage keys list "$keyset" --audit audit

# 3. The extracts, the roster, the opt-outs and the keyset make a snapshot again; its people have the tokens that they had.
linkage run --full linkage.toml
linkage runs list linkage.toml

echo "restored to $target. What the log got after the backup was taken is gone from it: write that into the incident register,"
echo "and give its new checkpoint to the witness, who will see that it does not continue what they cosigned since."
