#!/bin/bash
# deploy/policies: each file is what the command in its README prints, and lints as the README says; verdicts of the published set, if it is here.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
signctl=$(realpath "${COUNTERSIGN_BIN:-$root/build/bin}/signctl")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
case_() {
    local name=$1
    shift
    if "$@"; then echo "ok $name"; else
        echo "not ok $name"
        failed=1
    fi
}

cp "$root"/deploy/policies/measurements*.json "$work"
mkdir "$work/bin" && ln -s "$signctl" "$work/bin/signctl"
num=0
while read -r line; do
    file=${line##*> }
    num=$((num + 1))
    made() { (cd "$work" && PATH=$work/bin:$PATH bash -c "$line" 2>/dev/null) && cmp -s "$work/$file" "$root/deploy/policies/$file"; }
    case_ "made-$file" made
    lints() {
        "$signctl" kms lint --json "$root/deploy/policies/$file" >"$work/lint"
        local status=$?
        if [[ $file == test-key-* ]]; then
            [ $status = 1 ] && [ "$(jq -c .codes "$work/lint")" = '["debug-zero"]' ]
        else
            [ $status = 0 ] && [ "$(jq -c '[.verdict, .codes]' "$work/lint")" = '["tight",[]]' ]
        fi
    }
    case_ "lints-$file" lints
done < <(sed -n 's/^    \(signctl kms policy .*\)/\1/p' "$root/deploy/policies/README.md")
case_ all_files_have_a_command [ "$num" = "$(find "$root/deploy/policies" -name '*.json' ! -name 'measurements*' | wc -l)" ]

# the pass rule of the published set: each clear hole with one of its reasons, no hole in a tight one
set_=$root/../shared/vectors/kms-policies
if [ -f "$set_/expected.json" ]; then
    while read -r file; do
        verdict() {
            local want have reasons
            want=$(jq -r --arg f "$file" '.[$f].verdict' "$set_/expected.json")
            "$signctl" kms lint --json "$set_/$file" >"$work/lint"
            have=$?
            jq -e --arg f "$file" --arg kind "$(jq -r .kind "$work/lint")" '.[$f].kind == $kind' "$set_/expected.json" >/dev/null || return 1
            [ "$want" = hole ] || { [ $have = 0 ] && return; }
            reasons=$(jq --arg f "$file" --slurpfile l "$work/lint" '[.[$f].reasons[] as $r | select($l[0].codes | index($r))] | length' "$set_/expected.json")
            [ $have = 1 ] && [ "$reasons" -gt 0 ]
        }
        case_ "published-$file" verdict
    done < <(jq -r 'to_entries[] | select(.value.certainty == "clear") | .key' "$set_/expected.json")
fi
exit $failed
