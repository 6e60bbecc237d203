#!/bin/bash
# Goal of this test: AWS's own reader and writer of enclave images (crate aws-nitro-enclaves-image-format, which nitro-cli is made
# of) and signctl agree: the same sections are the same file, byte for byte, with the same PCRs; each reads and verifies the other's
# images, signed ones too, on every curve.
# limit: 1200
# programs: release
set -u
if ! tools/dev/peers eif-oracle >build/log/eif-oracle-peer.log; then
    tail -1 build/log/eif-oracle-peer.log
    exit 77
fi
oracle=$PWD/build/peers/rust/bin/eif-oracle
signctl=${COUNTERSIGN_BIN:-$PWD/build/bin}/signctl
config=$PWD/deploy/config/sign-service.yaml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
case_() {
    local name=$1
    shift
    if "$@"; then echo "ok $name"; else
        echo "not ok $name"
        failed=1
    fi
}
python3 - <<'PY'
kernel = bytearray(b"k" * 70001)
kernel[0x202:0x206] = b"HdrS"
kernel[0x20e:0x210] = (0x300).to_bytes(2, "little")
kernel[0x500:0x508] = b"6.12.1 x"
open("kernel", "wb").write(kernel)
PY
"$signctl" eif build -c "$config" --kernel kernel -o ours.eif --name a --image-version 2 >ours.json 2>/dev/null
# parts FILE: kernel, cmdline, metadata, ramdisk0... as files s.N
parts() {
    rm -f s.*
    python3 - "$1" <<'PY'
import struct, sys
b, at, ramdisks = open(sys.argv[1], "rb").read(), 548, 0
while at < len(b):
    kind, _, size = struct.unpack(">HHQ", b[at:at + 12])
    name = {1: "kernel", 2: "cmdline", 5: "metadata", 3: f"ramdisk{ramdisks}", 4: "signature"}[kind]
    ramdisks += kind == 3
    open("s." + name, "wb").write(b[at + 12:at + 12 + size])
    at += 12 + size
PY
}
same_file() {
    parts ours.eif && "$oracle" build s.kernel s.cmdline s.metadata theirs.eif - - s.ramdisk0 s.ramdisk1 >theirs.json 2>err ||
        { head -3 err; return 1; }
    cmp ours.eif theirs.eif && [ "$(jq -S .Measurements theirs.json | grep PCR)" = "$(jq -S .Measurements ours.json | grep PCR)" ]
}
case_ the_same_sections_are_the_same_file same_file
more_ramdisks() {
    local n
    for n in 1 3 29; do
        # shellcheck disable=SC2046 # words without blanks
        "$oracle" build s.kernel s.cmdline s.metadata many.eif - - s.ramdisk0 $(yes s.ramdisk1 | head -n $((n - 1))) >many.json 2>/dev/null &&
            [ "$("$signctl" eif describe --json many.eif | jq -S .Measurements | grep PCR)" = "$(jq -S .Measurements many.json | grep PCR)" ] || return 1
    done
}
case_ images_of_1_3_and_29_ramdisks more_ramdisks
# read_by_them FILE SIGNED: their reader says what ours says
read_by_them() {
    "$oracle" describe "$1" >d.json 2>err || { head -3 err; return 1; }
    "$signctl" eif describe --json "$1" >o.json || return 1
    [ "$(jq -S '[.CheckCRC, .IsSigned, .SignatureCheck, .Measurements.PCR0, .Measurements.PCR1, .Measurements.PCR2, .Measurements.PCR8, .Metadata, .EifVersion]' d.json)" = \
        "$(jq -S '[.CheckCRC, .IsSigned, .SignatureCheck, .Measurements.PCR0, .Measurements.PCR1, .Measurements.PCR2, .Measurements.PCR8, .Metadata, .EifVersion]' o.json)" ] &&
        jq -e --argjson signed "$2" '.CheckCRC and .IsSigned == $signed and (.SignatureCheck // true) and .MayRun' d.json >/dev/null
}
case_ they_read_ours read_by_them ours.eif false
for curve in P-256 P-384 P-521; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:$curve -nodes -keyout key.pem -out cert.pem -subj "/CN=eif/O=x" -days 2 2>/dev/null
    "$signctl" eif sign --signing-certificate cert.pem --private-key key.pem -o signed.eif ours.eif >/dev/null
    case_ "they_verify_our_signature_$curve" read_by_them signed.eif true
    parts ours.eif
    "$oracle" build s.kernel s.cmdline s.metadata theirs.eif cert.pem key.pem s.ramdisk0 s.ramdisk1 >theirs.json 2>/dev/null
    case_ "we_verify_their_signature_$curve" read_by_them theirs.eif true
    # ECDSA draws: what is not the signature's own bytes is equal
    same_but_signature() {
        "$signctl" eif diff --json signed.eif theirs.eif >diff.json
        jq -e '.HeaderEqual and .PcrEqual.PCR8 and [.Sections[].Type] == ["signature"]' diff.json >/dev/null &&
            [ "$(stat -c %s signed.eif)" -gt 0 ] && parts signed.eif && cp s.signature a && parts theirs.eif && cp s.signature b &&
            [ "$(head -c 200 a | sha256sum)" = "$(head -c 200 b | sha256sum)" ]
    }
    case_ "signed_images_differ_in_the_signature_only_$curve" same_but_signature
done
other_image() {
    python3 - <<'PY'
import zlib
b = bytearray(open("signed.eif", "rb").read())
b[560] ^= 1  # the kernel's first byte, under the old signature and a new checksum
b[544:548] = zlib.crc32(bytes(b[:544]) + bytes(b[548:])).to_bytes(4, "big")
open("moved.eif", "wb").write(b)
PY
    "$oracle" describe moved.eif >d.json 2>/dev/null && jq -e '.CheckCRC and .SignatureCheck == false' d.json >/dev/null &&
        "$signctl" eif describe --json moved.eif >o.json 2>/dev/null
    [ $? = 1 ] && jq -e '.CheckCRC and .SignatureCheck == false' o.json >/dev/null
}
case_ both_see_a_signature_of_another_image other_image
damaged() {
    python3 -c 'b = bytearray(open("ours.eif", "rb").read()); b[560] ^= 1; open("bad.eif", "wb").write(b)'
    "$oracle" describe bad.eif 2>/dev/null | jq -e '.CheckCRC == false' >/dev/null &&
        [ "$("$signctl" eif describe --json bad.eif 2>/dev/null | jq .CheckCRC)" = false ]
}
case_ a_wrong_checksum damaged
exit $failed
