#!/bin/bash
# signctl eif and pcr against values published by AWS and in the specification, and on damaged images.
set -u
signctl=${COUNTERSIGN_BIN:-build/bin}/signctl
toy=fuzz/corpus/eif/toy
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case_() {
    local name=$1
    shift
    if "$@"; then echo "ok $name"; else
        echo "not ok $name"
        failed=1
    fi
}
failed=0
is() { [ "$1" = "$2" ]; }
status() { "$@" >/dev/null 2>&1; echo $?; }

case_ pcr3_as_the_user_guide "is" "$("$signctl" pcr role arn:aws:iam::123456789012:role/Webserver)" \
    78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6
case_ pcr4_as_the_user_guide "is" "$("$signctl" pcr instance i-1234567890abcdef0)" \
    08f996b5d43e047a9eb51e7f548bfee7e164fd7dc8f65541f2ac09d6545ac812719327281c401a67a10fcba87ae79ce0
role=arn:aws:iam::123456789012:role/NitroEnclaveInstanceRole
case_ pcr3_as_the_shell "is" "$("$signctl" pcr role $role)" "$({ head -c48 /dev/zero; printf %s $role; } | sha384sum | cut -d' ' -f1)"
case_ an_instance_profile_is_no_role "is" "$(status "$signctl" pcr role arn:aws:iam::1:instance-profile/x)" 2
case_ no_instance_id "is" "$(status "$signctl" pcr instance x-12)" 2
printf abc >"$work/abc"
inner=$(sha384sum "$work/abc" | cut -d' ' -f1)
case_ pcr_of_a_file "is" "$("$signctl" pcr file "$work/abc")" "$({ head -c48 /dev/zero; printf %b "$(printf %s "$inner" | sed 's/../\\x&/g')"; } | sha384sum | cut -d' ' -f1)"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout "$work/key.pem" -out "$work/cert.pem" -subj /CN=eif -days 2 2>/dev/null
openssl x509 -in "$work/cert.pem" -outform DER -out "$work/cert.der"
case_ pcr8_of_a_certificate "is" "$("$signctl" pcr file --signing-certificate "$work/cert.pem")" "$("$signctl" pcr file "$work/cert.der")"

"$signctl" eif describe --json $toy >"$work/toy.json"
measured() { jq -e ".CheckCRC and (.IsSigned | not) and (.Sections | length) == 5 and .Measurements.PCR0[0:16] == \"c99e06f7cf61cdc6\" and
    .Measurements.PCR1[0:16] == \"34c02e2c8aa17743\" and .Measurements.PCR2[0:16] == \"5f699ae4300525c6\"" "$work/toy.json" >/dev/null; }
case_ the_toy_image measured
sed 's/RAMDISK1/RAMDISK2/' $toy >"$work/other"
case_ a_wrong_checksum_is_shown_and_refused "is" "$(status "$signctl" eif describe "$work/other")" 1
"$signctl" eif diff $toy "$work/other" >"$work/diff"
case_ diff_names_the_section_and_the_pcrs "is" "$(tr '\n' '|' <"$work/diff")" \
    "ramdisk 1: differs (moves PCR0, PCR2)|  not a newc archive: files are not compared|PCR0 DIFFERENT|PCR1 equal|PCR2 DIFFERENT|"
case_ an_image_equals_itself "is" "$(status "$signctl" eif diff $toy $toy)" 0
head -c 600 $toy >"$work/short"
case_ a_short_image_is_refused "is" "$("$signctl" eif describe "$work/short" 2>&1 | grep -c EIF_TRUNCATED)" 1
case_ a_kind_of_file_that_is_no_image_is_refused_at_once eval 'mkfifo "$work/pipe" && is "$(status timeout 5 "$signctl" eif describe "$work/pipe")" 1'
case_ a_pipe_of_the_shell_is_read is "$("$signctl" eif describe --json <(cat $toy) | jq -r .Measurements.PCR0)" "$(jq -r .Measurements.PCR0 "$work/toy.json")"
case_ registers_as_json "is" "$("$signctl" pcr role --json $role | jq -r .PCR3)" "$("$signctl" pcr role $role)"
case_ registers_of_certificates_as_json "is" "$("$signctl" pcr file --json --signing-certificate "$work/cert.pem" | jq -r .PCR8)" "$("$signctl" pcr file "$work/cert.der")"
# a limit of file size, as batch systems set: the command says so, and leaves nothing
too_large_for_the_limit() (
    mkdir "$work/limited" && ulimit -f 0
    "$signctl" eif sign --signing-certificate "$work/cert.pem" --private-key "$work/key.pem" -o "$work/limited/x.eif" $toy 2>&1 | grep -q '^signctl.*IO' &&
        [ -z "$(ls "$work/limited")" ]
)
case_ file_size_limit_leaves_no_part too_large_for_the_limit
policy() { "$signctl" kms policy --account 123456789012 --role R --admin-role A "$@" 2>&1; }
case_ no_region "is" "$(policy --region mars --release zz | grep -c 'mars: no name of a region')" 1
case_ no_release "is" "$(policy --release zz | grep -c -- '--release zz: neither a file of measurements')" 1
printf '{"Statement":[{"Effect":"Deny"},{"Effect":"maybe"}]}' >"$work/policy.json"
case_ a_policy_that_is_none_is_told_why "is" "$("$signctl" kms lint "$work/policy.json" 2>&1 | grep -c 'statement 2: Effect is neither')" 1
# what was built or installed with the programs is shown by --version, and nothing where there is no such file
version_shows() {
    mkdir -p "$work/i/bin" "$work/i/share/countersign" && cp "$signctl" "$(dirname "$signctl")/sign-host" "$work/i/bin" && for p in signctl sign-host; do
        rm -f "$work/i/share/countersign/pcrs.json" && "$work/i/bin/$p" --version | grep -q PCR && return 1
        cp "$work/toy.json" "$work/i/share/countersign/pcrs.json" && is "$("$work/i/bin/$p" --version | sed -n 's/^PCR0 //p')" "$(jq -r .Measurements.PCR0 "$work/toy.json")" || return 1
        echo '{"PCR0": "zz", "PCR1":' >"$work/i/share/countersign/pcrs.json" && "$work/i/bin/$p" --version | grep -q PCR && return 1
    done
    true
}
case_ version_shows_measurements version_shows
exit $failed
