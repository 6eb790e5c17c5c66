#!/bin/sh
# What the key holders of a study do, each on their own machine; files go between them as the arrows say.
#
#   key_holder.sh begin   STUDY AGE_RECIPIENT...   one of them: makes STUDY.age for everybody's public age key
#                                                  STUDY.age → every other key holder
#   key_holder.sh table   STUDY TABLE              each of them: moves one approved table to the study's tokens
#                                                  to-study/TABLE → the study, and nobody else
#   key_holder.sh end     STUDY                    each of them: destroys their copy of the study's keyset
#
# Set before `table`: KEYSET and DOMAIN of the ICS, for example age://keys/ics.age and ics:qxx; IDENTITY, the age identity
# that opens KEYSET; STUDY_IDENTITY, the one that opens STUDY.age. They are paths: no key is on the command line.
set -eu
umask 077

command=$1
study=$2
shift 2

case $command in
  begin)
    recipients=""
    for each in "$@"; do recipients="$recipients --recipient $each"; done
    # Unquoted on purpose: age public keys have no spaces.
    # shellcheck disable=SC2086
    linkage keys create "$study.age" $recipients
    echo "send $study.age to the other key holders; it opens with their identities alone"
    ;;
  table)
    mkdir -p to-study
    linkage federate translate "$1" "to-study/$(basename "$1")" \
      --keyset "$KEYSET" --domain "$DOMAIN" --identity "$IDENTITY" \
      --study "age://$study.age" --study-domain "study:$study" --study-identity "$STUDY_IDENTITY"
    ;;
  end)
    rm "$study.age"
    echo "destroyed this copy; when all are, the study's tables can be matched with nothing any more"
    ;;
  *)
    echo "begin, table or end" >&2
    exit 2
    ;;
esac
