#!/bin/bash
# Goal of this test: signctl eif build, sign, describe and diff with the programs as they ship: the same bytes under any umask, time zone
# and date; what is in an image; two customers differ in the configuration only; damaged images, keys and inputs each by their error.
# programs: release
set -u
bin=${COUNTERSIGN_BIN:-$PWD/build/bin}
signctl=$bin/signctl
config=$PWD/deploy/config/sign-service.yaml
corpus=$PWD/fuzz/corpus/eif
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

# a bzImage as far as it is looked at, and AWS's blobs
python3 - <<'PY'
kernel = bytearray(b"k" * 4096)
kernel[0x202:0x206] = b"HdrS"
kernel[0x20e:0x210] = (0x300).to_bytes(2, "little")
kernel[0x500:0x520] = b"6.12.1 (someone@somewhere) #1\0\0\0"
import os
os.mkdir("blobs")
for name in "kernel", "blobs/bzImage":
    open(name, "wb").write(kernel)
open("blobs/cmdline", "w").write("reboot=k panic=30 console=ttyS0\n")
open("blobs/nsm.ko", "wb").write(b"module")
PY
build() {
    local out=$1
    shift
    "$signctl" eif build --config "$config" --kernel kernel -o "$out" "$@"
}
# section FILE TYPE INDEX: its bytes
section() {
    python3 - "$@" <<'PY'
import struct, sys
b, at, left = open(sys.argv[1], "rb").read(), 548, int(sys.argv[3])
while at < len(b):
    kind, _, size = struct.unpack(">HHQ", b[at:at + 12])
    if kind == int(sys.argv[2]) and (left := left - 1) < 0:
        sys.stdout.buffer.write(b[at + 12:at + 12 + size])
        break
    at += 12 + size
PY
}
says() { # CODE COMMAND...: refused with that code, status 1
    local code=$1 status
    shift
    "$@" >out 2>err
    status=$?
    if [ $status = 1 ] && grep -q "$code" err; then return 0; fi
    echo "# $* gave $status: $(head -1 err)"
    return 1
}

prints_as_nitro_cli() {
    build one.eif >one.json 2>one.err && [ "$(cat one.err)" = "Enclave Image successfully created." ] &&
        [ "$(sed -E 's/[0-9a-f]{96}/HEX/' one.json)" = '{
  "Measurements": {
    "HashAlgorithm": "Sha384 { ... }",
    "PCR0": "HEX",
    "PCR1": "HEX",
    "PCR2": "HEX"
  }
}' ] && [ "$("$signctl" eif describe --json one.eif | jq -S .Measurements)" = "$(jq -S .Measurements one.json)" ]
}
case_ prints_what_nitro_cli_prints prints_as_nitro_cli
same_bytes() {
    mkdir -p deep/er && cp "$config" deep/er/ && cp kernel deep/er/k &&
        (umask 077 && cd deep/er && TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 HOME=/nowhere "$signctl" eif build --config sign-service.yaml --kernel k \
            --output-file two.eif >/dev/null 2>&1) && cmp one.eif deep/er/two.eif && [ "$(stat -c %a deep/er/two.eif)" = 600 ]
}
case_ the_same_bytes_elsewhere same_bytes
build_time() {
    SOURCE_DATE_EPOCH=86400 build later.eif >later.json 2>&1 && ! cmp -s one.eif later.eif &&
        [ "$("$signctl" eif describe --json later.eif | jq -r .Metadata.BuildMetadata.BuildTime)" = 1970-01-02T00:00:00Z ] &&
        "$signctl" eif diff one.eif later.eif >out
    [ $? = 1 ] && [ "$(tr '\n' '|' <out)" = "metadata 0: differs (not measured)|PCR0 equal|PCR1 equal|PCR2 equal|" ]
}
case_ the_time_of_a_build_is_not_measured build_time
ramdisks() {
    section one.eif 3 0 >r0 && section one.eif 3 1 >r1 && [ "$(stat -c %s r1)" -le 16000000 ] &&
        [ "$(cpio -it --quiet <r0 | tr '\n' ' ')" = "dev dev/console init " ] &&
        [ "$(cpio -it --quiet <r1 | grep -v / | tr '\n' ' ')" = "bin dev etc proc run sys tmp " ] &&
        mkdir -p root && (cd root && cpio -idm --quiet <../r1) && cmp root/etc/countersign/sign-service.yaml "$config" &&
        "$signctl" config compile "$config" -o compiled && cmp root/etc/countersign/config.cbor compiled &&
        [ "$(cd root/bin && for p in *; do ./"$p" --version | head -1 | cut -d' ' -f1; done | tr '\n' ' ')" = "sign-core sign-init sign-kms sign-service " ]
}
case_ ramdisks_as_cpio_reads_them ramdisks
case_ the_programs_are_the_linked_ones_by_their_build_ids [ "$(root/bin/sign-core --version)" = "$("$bin/sign-core" --version)" ]
customers() {
    build other.eif --set kms.region=eu-west-1 >/dev/null 2>&1 && "$signctl" eif diff one.eif other.eif >out
    [ $? = 1 ] && [ "$(tr '\n' '|' <out)" = "ramdisk 1: differs (moves PCR0, PCR2)|  etc/countersign/config.cbor: contents differ|  etc/countersign/sign-service.yaml: contents differ|PCR0 DIFFERENT|PCR1 equal|PCR2 DIFFERENT|" ] &&
        section other.eif 3 1 | grep -aq '^# --set kms.region=eu-west-1$' &&
        [ "$("$signctl" eif diff --json one.eif other.eif | jq -c '[.Sections[0].Moves, .Equal, (.Sections[0].Files | length)]')" = '[["PCR0","PCR2"],false,2]' ]
}
case_ two_customers_differ_in_the_configuration_only customers
blobs() {
    NITRO_CLI_BLOBS=blobs "$signctl" eif build -c "$config" -o aws.eif >aws.json 2>/dev/null &&
        [ "$(section aws.eif 2 0)" = "reboot=k panic=30 console=ttyS0" ] && section aws.eif 3 0 | cpio -it --quiet | grep -qx nsm.ko
}
case_ blobs_of_aws blobs
# without a word about the kernel: the one that make or make install left beside signctl
own_kernel() {
    local place
    mkdir -p own/bin && cp "$signctl" own/bin/ && cp "$config" sign-service.yaml || return 1
    ! env -u NITRO_CLI_BLOBS own/bin/signctl eif build --program-dir "$bin" 2>err || return 1
    grep -q 'IMAGE_KERNEL.*none beside signctl' err || return 1
    for place in own/kernel own/share/countersign; do
        rm -rf own/kernel target
        mkdir -p "$place" && cp kernel "$place/bzImage"
        env -u NITRO_CLI_BLOBS own/bin/signctl eif build --config sign-service.yaml --program-dir "$bin" >/dev/null 2>&1 &&
            cmp one.eif target/sign-service.enclave.eif || return 1
    done
}
if [ -d /usr/share/nitro_enclaves/blobs ]; then
    echo "skip the_kernel_beside_signctl"
else
    case_ the_kernel_beside_signctl own_kernel
fi

# ---- signatures
for curve in P-256 P-384 P-521; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:$curve -nodes -keyout key-$curve.pem -out cert-$curve.pem -subj /CN=eif -days 2 2>/dev/null
done
sign_curve() {
    cp one.eif signed-$1.eif && "$signctl" eif sign --signing-certificate cert-$1.pem --private-key key-$1.pem signed-$1.eif >signed.json &&
        [ "$(jq -r .Measurements.PCR8 signed.json)" = "$("$signctl" pcr file --signing-certificate cert-$1.pem)" ] &&
        "$signctl" eif describe --json signed-$1.eif >d.json &&
        jq -e --arg alg "$2" '.IsSigned and .SignatureCheck and .CheckCRC and .SigningCertificate.Algorithm == $alg and .SigningCertificate.Validity == "valid"' d.json >/dev/null &&
        "$signctl" eif diff one.eif signed-$1.eif >out
    [ $? = 1 ] && [ "$(tr '\n' '|' <out)" = "signature 0: only in the second (moves PCR8)|PCR0 equal|PCR1 equal|PCR2 equal|PCR8 DIFFERENT|" ]
}
case_ signed_es256 sign_curve P-256 ES256
case_ signed_es384 sign_curve P-384 ES384
case_ signed_es512 sign_curve P-521 ES512
signed_again() {
    "$signctl" eif sign --signing-certificate cert-P-256.pem --private-key key-P-256.pem -o again.eif signed-P-384.eif >/dev/null &&
        [ "$("$signctl" eif describe --json again.eif | jq '[.Sections[] | select(.Type == "signature")] | length')" = 1 ] &&
        [ "$("$signctl" eif diff --json again.eif signed-P-256.eif | jq -c .PcrEqual.PCR8)" = true ]
}
case_ a_signature_is_replaced signed_again
in_place() {
    cp one.eif real.eif && chmod 640 real.eif && ln -s real.eif link.eif &&
        "$signctl" eif sign --signing-certificate cert-P-256.pem --private-key key-P-256.pem link.eif >/dev/null &&
        [ -L link.eif ] && [ "$(stat -c %a real.eif)" = 640 ] && [ "$("$signctl" eif describe --json real.eif | jq .IsSigned)" = true ]
}
case_ signing_in_place_keeps_link_and_mode in_place
built_signed() {
    build s.eif --signing-certificate cert-P-384.pem --private-key key-P-384.pem >s.json 2>/dev/null && jq -e .Measurements.PCR8 s.json >/dev/null &&
        "$signctl" eif describe s.eif | grep -q "signature  ok, ES384"
}
case_ build_signs_too built_signed
# resection FILE PYTHON: sections changed by the statement over list s of [type, bytes], written as an image with a right checksum
resection() {
    python3 - "$1" "$2" <<'PY'
import struct, sys, zlib
b, at, s = open(sys.argv[1], "rb").read(), 548, []
while at < len(b):
    kind, _, size = struct.unpack(">HHQ", b[at:at + 12])
    s.append([kind, b[at + 12:at + 12 + size]])
    at += 12 + size
exec(sys.argv[2])
offsets, at = [], 548
for kind, body in s:
    offsets.append(at)
    at += 12 + len(body)
pad = [0] * (32 - len(s))
head = b[:24] + struct.pack(">HH", 0, len(s)) + struct.pack(">32Q", *(offsets + pad)[:32]) + struct.pack(">32Q", *([len(x) for _, x in s] + pad)[:32]) + bytes(4)
body = b"".join(struct.pack(">HHQ", k, 0, len(x)) + x for k, x in s)
sys.stdout.buffer.write(head + struct.pack(">I", zlib.crc32(head + body)) + body)
PY
}
moved_signature() {
    resection signed-P-256.eif 's[1][1] += b" quiet"' >moved.eif && says EIF_SIGNATURE "$signctl" eif describe moved.eif &&
        grep -q "signature  WRONG" out && says EIF_SIGNATURE "$signctl" eif describe --json moved.eif && jq -e '.SignatureCheck == false and .CheckCRC' out >/dev/null
}
case_ a_signature_of_another_image_is_shown_and_refused moved_signature
case_ a_signature_section_of_garbage says EIF_FORMAT "$signctl" eif describe <(resection signed-P-256.eif 's[5][1] = b"x"')
case_ a_key_that_is_not_the_certificates says EIF_SIGNER "$signctl" eif sign --signing-certificate cert-P-256.pem --private-key key-P-384.pem one.eif
case_ keys_in_kms_are_not_implemented says NOT_IMPLEMENTED "$signctl" eif sign --signing-certificate cert-P-256.pem --private-key arn:aws:kms:eu-west-1:1:key/x one.eif
openssl genrsa -out rsa.pem 2048 2>/dev/null
case_ an_rsa_key says EIF_SIGNER "$signctl" eif sign --signing-certificate cert-P-256.pem --private-key rsa.pem one.eif

# ---- damaged images
toy=$corpus/toy
case_ bad_crc says EIF_CRC "$signctl" eif describe <(sed 's/RAMDISK1/RAMDISK2/' "$toy")
case_ bad_crc_in_a_diff says EIF_CRC "$signctl" eif diff "$toy" <(sed 's/RAMDISK1/RAMDISK2/' "$toy")
case_ cut says EIF_TRUNCATED "$signctl" eif describe <(head -c 600 "$toy")
case_ cut_in_the_header says EIF_TRUNCATED "$signctl" eif describe <(head -c 100 "$toy")
case_ no_eif says EIF_FORMAT "$signctl" eif describe "$config"
case_ bytes_behind says EIF_FORMAT "$signctl" eif describe <(cat "$toy" "$toy")
case_ thirty_three_sections says EIF_SECTIONS "$signctl" eif describe <(resection "$toy" 's += [[3, b"r"]] * 28')
case_ two_kernels says EIF_SECTIONS "$signctl" eif describe <(resection "$toy" 's[1][0] = 1')
case_ no_ramdisk says EIF_SECTIONS "$signctl" eif describe <(resection "$toy" 's = s[:3]')
overlapping() {
    python3 -c 'import sys; b = bytearray(open(sys.argv[1], "rb").read()); b[36:44] = b[28:36]; sys.stdout.buffer.write(b)' "$toy" >overlap
    says EIF_TABLE "$signctl" eif describe overlap
}
case_ overlapping_sections overlapping
case_ missing says NOT_FOUND "$signctl" eif describe nowhere.eif
compressed() {
    section one.eif 3 0 | gzip -n >r0.gz
    resection one.eif 's[3][1] = open("r0.gz", "rb").read(); s[4][1] = b"no archive"' >gz.eif && "$signctl" eif describe gz.eif >out &&
        grep -q 'compressed: gzip' out && grep -q 'not a newc archive' out &&
        [ "$("$signctl" eif diff one.eif gz.eif | grep -c 'files are not compared')" = 2 ]
}
case_ ramdisks_that_cannot_be_listed compressed

# ---- inputs
mkdir programs
for p in sign-core sign-init sign-service; do ln -s "$bin/$p" programs/; done
case_ a_program_is_missing says IMAGE_PROGRAM build x.eif --program-dir programs
cp "$bin/sign-kms-local" programs/sign-kms
case_ a_program_that_is_not_static says IMAGE_PROGRAM build x.eif --program-dir programs
case_ no_kernel says IMAGE_KERNEL env -u NITRO_CLI_BLOBS "$signctl" eif build -c "$config" -o x.eif --blobs empty
case_ a_kernel_that_is_none says IMAGE_KERNEL "$signctl" eif build -c "$config" -o x.eif --kernel "$config"
case_ a_command_line_of_two_lines says IMAGE_KERNEL build x.eif --cmdline $'a\nb'
case_ an_unknown_key says CONFIG_KEY build x.eif --set kms.rgeion=x
case_ a_configuration_that_is_missing says NOT_FOUND "$signctl" eif build -c nowhere.yaml --kernel kernel -o x.eif
whole_or_not() {
    cp one.eif kept.eif && says CONFIG build kept.eif --set kms.proxyPort=x && cmp one.eif kept.eif && says IO build one.eif/x.eif &&
        [ ! -e x.eif ] && ! ls ./*.part >/dev/null 2>&1
}
case_ an_output_is_whole_or_not_there whole_or_not
exit $failed
