#!/bin/bash
# Goal of this test: the TEE service from gRPC at sign-service over sign-core and sign-kms to KMS, all of them processes: a key is made
# and signs, and a KMS that is slow, throttling, denying, silent or lying makes calls fail by name, loses nothing, and changes no signature.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
/usr/bin/python3 -c 'import cbor2, cryptography, grpc' 2>/dev/null || {
    echo "python3-cbor2, python3-cryptography or python3-grpcio is not installed"
    exit 77
}

image_tee() {
    config_write "$RUN/image.yaml"
    printf 'tee: {enabled: true, workers: 2}\n' >>"$RUN/image.yaml"
    "$BIN/signctl" config compile "$RUN/image.yaml" -o "$RUN/image.cbor" && "$BIN/sign-host" image build --config "$RUN/image.cbor" "$RUN/image" &&
        image_pcrs "$RUN/image" && key_bind "$PCR0"
}
shares_tee() {
    "$BIN/signctl" caller new --id payments -o "$RUN/payments.json" >/dev/null &&
        "$BIN/signctl" caller public "$RUN/payments.json" --operations Generate,Sign --records 'wallet-*' >"$RUN/payments.pub" &&
        "$BIN/signctl" shares new --caller "$RUN/payments.pub" --publisher-key "$RUN/publisher.key" -g 1 -r "$RECIPIENT" -o "$RUN/tee.age" >/dev/null
}
starts() {
    host_up "$RUN/e" "$RUN/image" --no-preload --keep && [ "$(pair e "$RUN/age-private.key.enc" "$RUN/tee.age" | code)" = OK ] && [ "$(phase e)" = SERVING ]
}
no_secret_in_logs() { ! grep -q "$(jq -r .ed25519_seed "$RUN/payments.json")" "$RUN/e/enclave.log"; }

emulator_up
publisher_new
age_new
key_new
case_ image image_tee
case_ shares shares_tee
age_seal "$RUN/age-private.key" "$RUN/age-private.key.enc"
case_ serves starts
/usr/bin/python3 "$(dirname "$0")/parts/tee_kms.py" "$GRPC" "$RUN/payments.json" "$(dirname "$(emu_get ca)")" || failed=1
case_ no-secret-in-logs no_secret_in_logs
case_ still-serves test "$(phase e)" = SERVING
finish
