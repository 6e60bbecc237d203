# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # boot.sh sets and uses what is named here
# The boot test's part on this machine, before the guest: keys, images, and what AWS would hold, made with an emulated AWS that is
# stopped again; the guest starts it on the same folder. To be sourced by boot.sh; RUN is set.
# shellcheck source=scripts/stack-lib.sh
. "$uml_root/scripts/stack-lib.sh"

# config NAME LINE...: $RUN/NAME.yaml; both sides of AF_VSOCK are one guest, whose loopback has CID 1
config() {
    local name=$1
    shift
    cat >"$RUN/$name.yaml" <<YAML
kms: {region: $REGION, keyArn: "$KEY_ARN", host: kms.$REGION.amazonaws.com, caFile: "$CA"}
shares: {publishers: ["$PUBLISHER"]}
limits: {arenaMiB: 16}
YAML
    printf '%s\n' "$@" >>"$RUN/$name.yaml"
}

# kernel: of the images; measured only, for the guest's own runs: a header that says bzImage
kernel() { { head -c 514 /dev/zero; printf HdrS; head -c 2000 /dev/zero; } >"$RUN/kernel"; }

# image NAME: $RUN/NAME.eif; what eif describe says of it goes to $RUN/pcrs, for the guest
image() {
    "$BIN/signctl" eif build --config "$RUN/$1.yaml" --kernel "$RUN/kernel" -o "$RUN/$1.eif" >/dev/null 2>"$RUN/$1.err" ||
        die "image $1: $(cat "$RUN/$1.err")"
    "$BIN/signctl" eif describe --json "$RUN/$1.eif" |
        jq -r --arg name "$1" '.Measurements | "PCRS[\($name).0]=\(.PCR0)", "PCRS[\($name).1]=\(.PCR1)", "PCRS[\($name).2]=\(.PCR2)"' >>"$RUN/pcrs"
}

# bind NAME...: the key's policy admits these images on this role's instances, by PCR0 to 3 together, and nothing else
bind() {
    local name releases=()
    for name in "$@"; do
        releases+=(--release "$RUN/$name.eif")
    done
    "$BIN/signctl" kms policy --account "$ACCOUNT" --role "${ROLE_ARN##*/}" --pcr3 "$ROLE_ARN" --admin-role KMSAdmin "${releases[@]}" >"$RUN/policy.json" &&
        "$BIN/signctl" kms lint "$RUN/policy.json" >"$RUN/policy.txt" || die "key policy: $(tail -3 "$RUN/policy.txt")"
    jq -n --arg key "$KEY_ARN" --rawfile policy "$RUN/policy.json" \
        '{KeyId: $key, PolicyName: "default", Policy: $policy, BypassPolicyLockoutSafetyCheck: true}' | kms PutKeyPolicy >/dev/null ||
        die "PutKeyPolicy failed"
}

prepare() {
    emulator_up
    publisher_new
    age_new
    key_new
    config main 'enclave: {parentCid: 1, clockSources: [timer]}'
    config trap 'enclave: {parentCid: 1, clockSources: [timer], systemCallFilter: trap}'
    config other 'enclave: {parentCid: 1, clockSources: [timer]}' 'logging: {level: warn}'
    config clock 'enclave: {parentCid: 1, clockSources: [kvm-clock, tsc]}'
    config cid 'enclave: {parentCid: 2, clockSources: [timer]}'
    kernel
    for name in main trap other clock cid; do
        image $name
    done
    cp "$RUN/main.eif" "$RUN/heart.eif" # another parent, not another image
    shares_new "$RUN/shares" 1 -n 2
    age_seal "$RUN/age-private.key" "$RUN/age-private.key.enc"
    s3_put "$RUN/age-private.key.enc" enclave/age-private.key.enc
    s3_put "$RUN/shares/service_key_shares.json.age" enclave/service_key_shares.json.age
    bind main trap
    {
        echo "ROLE=$ROLE_ARN INSTANCE=$(emu_get instance_id)"
        echo "PCRS[role]=$("$BIN/signctl" pcr role "$ROLE_ARN" | grep -oE '[0-9a-f]{96}')"
        echo "PCRS[instance]=$("$BIN/signctl" pcr instance "$(emu_get instance_id)" | grep -oE '[0-9a-f]{96}')"
    } >>"$RUN/pcrs"
    emulator_down
    rm -f "$RUN/age-private.key" "$RUN/shares/service_key_shares.json" # the guest is given what a parent host has
}
