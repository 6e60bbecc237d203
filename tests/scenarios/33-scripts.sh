#!/bin/bash
# programs: release
# Goal of this test: the five scripts of scripts/sign-service do what the seed's did, in its order and with its output paths. docker and
# nitro-cli are stand-ins that record their arguments; behind docker stands buildah, so that the last stage of both Dockerfiles is really built.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/scenarios/nitro-lib.sh
. "$(dirname "$0")/nitro-lib.sh"
TOP=$(cd "$(dirname "$0")/../.." && pwd)
S=$TOP/scripts/sign-service
W=$RUN
BUILDAH="buildah --root $W/storage --runroot $W/runroot --storage-driver vfs"
export COUNTERSIGN_TARGET=$W/target COUNTERSIGN_BIN=$BIN BUILDAH_ISOLATION=chroot PATH=$W/stand-ins:$PATH
unset SIGN_SERVICE_CONFIG KMS_PROXY_PORT HOST_EGRESS_VSOCK_PORT ENCLAVE_PARENT_CID DOCKER DOCKER_IMAGE NITRO_CLI EIF_BUILDER EIF_PATH ENCLAVE_NAME

# ---------------------------------------------------------------- stand-ins

mkdir -p "$W/stand-ins"
cat >"$W/stand-ins/docker" <<END
#!/bin/sh
printf '%s\n' "docker \$*" >>"$W/commands"
[ "\$1 \$2" != "image inspect" ] || exec $BUILDAH inspect --type image "\$3"
exec $BUILDAH "\$@"
END
# build-enclave of the stand-in: our own image in the place of AWS's, which needs its kernel
cat >"$W/stand-ins/nitro-cli" <<END
#!/bin/sh
printf '%s\n' "nitro-cli \$*" >>"$W/commands"
[ "\$1" = build-enclave ] || exec "$BIN/nitro-cli-emulated" "\$@"
out=
while [ \$# -gt 0 ]; do
    [ "\$1" != --output-file ] || out=\$2
    shift
done
printf toy >"\$out"
echo "Enclave Image successfully created." >&2
echo '{"Measurements":{"HashAlgorithm":"Sha384 { ... }","PCR0":"00","PCR1":"00","PCR2":"00"}}'
END
chmod +x "$W/stand-ins/"*
recorded() { grep -qFx -- "$1" "$W/commands"; }

# ---------------------------------------------------------------- every script explains itself

helps() {
    local script
    for script in build_server build-docker build-eif run-enclave stop-enclave enclave-entrypoint; do
        "$S/$script.sh" --help >"$W/help" || return 1
        grep -q '^usage: ' "$W/help" && grep -q 'Example:$' "$W/help" && grep -q '^environment' "$W/help" || return 1
    done
}
refuses_arguments() {
    local script status
    for script in build_server build-docker build-eif stop-enclave; do
        status=0
        "$S/$script.sh" --nonsense || status=$?
        [ "$status" = 2 ] || return 1
    done
}
case_ help helps
case_ unknown-arguments refuses_arguments

# ---------------------------------------------------------------- build_server.sh

staged() {
    KMS_PROXY_PORT=5001 HOST_EGRESS_VSOCK_PORT=8081 "$S/build_server.sh" || return 1
    grep -v "^# --set " "$W/target/sign-service-enclave/sign-service.yaml" | cmp - "$TOP/deploy/config/sign-service.yaml" || return 1
    "$BIN/signctl" config compile "$TOP/deploy/config/sign-service.yaml" --set kms.proxyPort=5001 --set gateway.egressPort=8081 -o "$W/want.cbor" || return 1
    cmp "$W/want.cbor" "$W/target/sign-service-enclave/config.cbor"
}
static() {
    local p
    for p in sign-init sign-core sign-kms sign-service; do
        ! readelf -lW "$W/target/sign-service-enclave/$p" | grep INTERP && ! readelf -SW "$W/target/sign-service-enclave/$p" | grep -F .symtab &&
            [ "$(stat -c %a "$W/target/sign-service-enclave/$p")" = 755 ] || return 1
    done
}
roots() { [ "$(openssl storeutl -noout -certs "$W/target/sign-service-enclave/ca-certificates.crt" | tail -1)" = "Total found: 4" ]; }
refuses_dynamic() {
    mkdir "$W/dynamic" && cp "$BIN"/* "$W/dynamic" && cp "$BIN/sign-host" "$W/dynamic/sign-kms" || return 1
    ! COUNTERSIGN_BIN=$W/dynamic "$S/build_server.sh" && [ -x "$W/target/sign-service-enclave/sign-kms" ] &&
        [ -z "$(find "$W/target" -name '.staged.*')" ]
}
case_ build_server staged
case_ programs-are-static static
case_ roots-of-kms roots
case_ a-dynamic-program-is-refused refuses_dynamic

# ---------------------------------------------------------------- build-docker.sh, the Dockerfiles

dockerfile_rules() {
    local f
    for f in "$S/Dockerfile" "$TOP/docker/nitro_signer.Dockerfile"; do
        [ "$(grep -c '^CMD ' "$f")" = 1 ] && ! grep -q '^ENTRYPOINT' "$f" && [ "$(grep '^FROM ' "$f" | tail -1)" = "FROM scratch" ] || return 1
        # what is copied into the last stage, by name: no share file, no folder but the empty ones
        [ "$(sed '1,/^FROM scratch$/d; /^COPY/!d; s/^COPY --from=programs //; s/ [^ ]*$//' "$f" | tr ' \n' '||')" = \
            "/sign-init|/sign-core|/sign-kms|/sign-service|/config.cbor|/sign-service.yaml|/ca-certificates.crt|/mounts/|" ] || return 1
    done
}
no_share_is_copied() {
    ! git -C "$TOP" grep -nEi 'key_?shares?[^ ]*\.json|\.age\b' -- '*Dockerfile*' && ! git -C "$TOP" ls-files | grep -E 'key_shares.*json$'
}
docker_build() {
    : >"$W/commands"
    "$S/build-docker.sh" &&
        recorded "docker build -f $S/Dockerfile --build-context programs=$W/target/sign-service-enclave -t sign-service-enclave:latest $W/target/sign-service-enclave"
}
refuses_shares() {
    touch "$W/target/sign-service-enclave/service_key_shares.json"
    ! "$S/build-docker.sh" && rm "$W/target/sign-service-enclave/service_key_shares.json"
}
refuses_nothing_staged() { ! COUNTERSIGN_TARGET=$W/none "$S/build-docker.sh"; }
# tree_of_image NAME DIR: the one layer of a built image
tree_of_image() {
    rm -rf "$W/layers" "$2" && mkdir "$W/layers" "$2" || return 1
    $BUILDAH push -q "$1" "docker-archive:$W/layers.tar" && tar -C "$W/layers" -xf "$W/layers.tar" && rm "$W/layers.tar" || return 1
    [ "$(jq '.[0].Layers | length' "$W/layers/manifest.json")" = 1 ] || return 1
    tar -C "$2" -xpf "$W/layers/$(jq -r '.[0].Layers[0]' "$W/layers/manifest.json")" &&
        jq -e '.config.Cmd == ["/bin/sign-init"] and .config.Entrypoint == null' "$W/layers/$(jq -r '.[0].Config' "$W/layers/manifest.json")"
}
# listing DIR: type, mode, name and contents of everything in it
listing() { (cd "$1" && find . -mindepth 1 -printf '%y %m %P\n' | LC_ALL=C sort -k3 && find . -type f | LC_ALL=C sort | xargs sha256sum); }
case_ dockerfiles dockerfile_rules
case_ no-share-file-is-copied no_share_is_copied
case_ a-share-file-in-the-context-is-refused refuses_shares
case_ nothing-staged refuses_nothing_staged
if command -v buildah >/dev/null && $BUILDAH images >/dev/null 2>&1; then
    case_ build-docker docker_build
    case_ last-stage tree_of_image sign-service-enclave:latest "$W/tree"
else
    echo "skip last-stage (buildah does not run here)"
fi

# ---------------------------------------------------------------- build-eif.sh

by_nitro_cli() {
    : >"$W/commands"
    "$S/build-eif.sh" >"$W/measured" && recorded "nitro-cli build-enclave --docker-uri sign-service-enclave:latest --output-file $W/target/sign-service.enclave.eif" &&
        [ "$(cat "$W/target/sign-service.enclave.eif")" = toy ] && cmp "$W/measured" "$W/target/sign-service.enclave.pcrs.json"
}
[ ! -d "$W/tree" ] || case_ eif-by-nitro-cli by_nitro_cli
# ramdisk IMAGE DIR: the application ramdisk, unpacked
ramdisk() {
    rm -rf "$2" && mkdir "$2" && python3 - "$1" >"$W/ramdisk" <<'END' && (cd "$2" && cpio -idm --quiet <"$W/ramdisk")
import struct, sys
image = open(sys.argv[1], "rb").read()
at, bodies = 548, []
for _ in range(struct.unpack(">H", image[26:28])[0]):
    kind, _, size = struct.unpack(">HHQ", image[at:at + 12])
    bodies += [image[at + 12:at + 12 + size]] * (kind == 3)
    at += 12 + size
sys.stdout.buffer.write(bodies[1])
END
}
by_signctl() {
    EIF_BUILDER=signctl KERNEL=$W/kernel KMS_PROXY_PORT=5001 HOST_EGRESS_VSOCK_PORT=8081 "$S/build-eif.sh" >"$W/measured" 2>"$W/said" &&
        grep 'with signctl' "$W/said" && "$BIN/signctl" eif describe --json "$W/target/sign-service.enclave.eif" >"$W/described" &&
        [ "$(jq -r .Measurements.PCR0 "$W/measured")" = "$(jq -r .Measurements.PCR0 "$W/described")" ] &&
        cmp "$W/measured" "$W/target/sign-service.enclave.pcrs.json"
}
without_docker() {
    (PATH=${PATH#"$W/stand-ins:"} DOCKER=$W/no-docker NITRO_CLI=$W/no-nitro-cli KERNEL=$W/kernel KMS_PROXY_PORT=5001 HOST_EGRESS_VSOCK_PORT=8081 \
        "$S/build-eif.sh" 2>&1) | grep 'with signctl (no .*no-nitro-cli here)'
}
same_tree() { ramdisk "$W/target/sign-service.enclave.eif" "$W/want" && listing "$W/want" >"$W/want.list" && listing "$W/tree" >"$W/tree.list" && diff "$W/want.list" "$W/tree.list"; }
other_settings() {
    ! EIF_BUILDER=signctl KERNEL=$W/kernel "$S/build-eif.sh" 2>"$W/said" && grep 'run it again' "$W/said"
}
nothing_left() { rm -f "$W/target/sign-service.enclave.eif" && ! EIF_BUILDER=docker "$S/build-eif.sh" && [ -z "$(find "$W/target" -name '*.new')" ]; }
# a file that begins like a kernel
{ head -c 510 /dev/zero && printf 'U\252\0\0HdrS' && head -c 4096 /dev/zero; } >"$W/kernel"
case_ eif-by-signctl by_signctl
[ ! -d "$W/tree" ] || case_ container-and-image-are-the-same-tree same_tree
case_ eif-without-docker-and-nitro-cli without_docker
case_ other-settings-than-staged other_settings
case_ a-builder-that-there-is-not nothing_left

# ---------------------------------------------------------------- the whole way in the seed's order: build, run, sign, stop

whole_build() {
    nitro_prepare && config_write "$W/sign-service.yaml" || return 1
    export SIGN_SERVICE_CONFIG=$W/sign-service.yaml
    "$S/build_server.sh" && "$S/build-docker.sh" && EIF_BUILDER=signctl KERNEL=$W/kernel "$S/build-eif.sh" || return 1
    PCR0=$(jq -r .Measurements.PCR0 "$W/target/sign-service.enclave.pcrs.json")
    key_bind "$PCR0"
}
run_enclave() {
    : >"$W/commands"
    AGE_KEY_S3_URI=s3://$BUCKET/enclave/age-private.key.enc KEY_SHARES_S3_URI=s3://$BUCKET/enclave/service_key_shares.json.age \
        AWS_REGION=$REGION IMDS_ENDPOINT=$IMDS S3_ENDPOINT=$S3 ENCLAVE_CID=17 CPU_COUNT=4 MEMORY_MIB=600 \
        HOST_GRPC_PORT=$1 "$S/run-enclave.sh" --vsock-dir "$V" --kms-endpoint "$(emu_get kms_connect)"
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
runs() {
    run_enclave "$(free_port)" || return 1
    GRPC=$(jq -r .grpc "$W/target/sign-service-enclave-run/run.json" | sed 's/^tcp://')
    echo "$GRPC" >"$W/grpc"
}
nitro_cli_was_asked() {
    grep "^nitro-cli run-enclave " "$W/commands" >"$W/asked" && grep -e "--eif-path $W/target/sign-service.enclave.eif" "$W/asked" &&
        grep -e '--memory 600' "$W/asked" && grep -e '--cpu-count 4' "$W/asked" && grep -e '--enclave-cid 17' "$W/asked" &&
        grep -e '--enclave-name sign-service-enclave' "$W/asked" && ! grep -e --debug-mode "$W/asked"
}
signs() { GRPC=$(cat "$W/grpc") && sign_ok; }
console_log() { grep '"event":"signed"' "$W/target/sign-service-enclave-console.log"; }
no_second() { ! run_enclave "$(free_port)" && [ "$(enclaves)" = 1 ]; }
stops() { "$S/stop-enclave.sh" && grep '^nitro-cli terminate-enclave ' "$W/commands"; }
end_state() {
    [ "$(enclaves)" = 0 ] && [ -z "$(find "$W/target/sign-service-enclave-run" "$V" \( -type f ! -name lock ! -name '*.log' ! -name start.lock \) -o -type s)" ] &&
        ! "$S/stop-enclave.sh"
}
refused_start() {
    ! START_TIMEOUT_SECONDS=60 AGE_KEY_S3_URI=s3://$BUCKET/nothing KEY_SHARES_S3_URI=s3://$BUCKET/nothing AWS_REGION=$REGION IMDS_ENDPOINT=$IMDS \
        S3_ENDPOINT=$S3 "$S/run-enclave.sh" --vsock-dir "$V" --kms-endpoint "$(emu_get kms_connect)" 2>"$W/said" && cat "$W/said" &&
        grep S3_NOT_FOUND "$W/said" && grep 'ended with status 1' "$W/said" && [ "$(enclaves)" = 0 ]
}
if [ -d "$W/tree" ]; then
    # the functions leave variables: not in a sub-shell
    if whole_build >"$W/whole" 2>&1; then
        echo "ok whole-build"
    else
        echo "not ok whole-build"
        tail -5 "$W/whole"
        exit 1
    fi
    case_ run-enclave runs
    case_ what-nitro-cli-was-asked nitro_cli_was_asked
    case_ signs signs
    case_ console-log console_log
    case_ no-second-start no_second
    case_ stop-enclave stops
    case_ end-state end_state
    case_ a-refused-start-leaves-nothing refused_start
fi
finish
