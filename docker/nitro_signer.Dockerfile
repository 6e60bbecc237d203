# The same image as scripts/sign-service/Dockerfile under the names of the seed's enclave signer, compiled inside Docker:
#
#   docker build -f docker/nitro_signer.Dockerfile -t nitro-signer --build-arg RELEASE=1 .
#   nitro-cli build-enclave --docker-uri nitro-signer --output-file nitro-signer.eif
#
# PROXY_PORT   vsock port of the parent that leads to KMS: kms.proxyPort, measured (the seed's default 8000, ours elsewhere 5000)
# PROXY_CID    the parent's CID: enclave.parentCid, measured
# LISTEN_PORT  not implemented: the seed's signer RPC on a port of its own; another number than 2000 ends the build
# RELEASE      accepted; every build is the optimised one, and a debug enclave refuses to unseal unless the configuration allows it
# CONFIG       the measured configuration, a path in the context (the default is an example: not for production)
# DEBIAN       base image of the compiling stage; pin it by its digest
ARG DEBIAN=debian:12
FROM ${DEBIAN} AS compiled
ARG PROXY_PORT=8000
ARG PROXY_CID=3
ARG LISTEN_PORT=2000
ARG RELEASE
ARG CONFIG=deploy/config/sign-service.yaml
WORKDIR /src
COPY . .
RUN if [ "$LISTEN_PORT" != 2000 ]; then echo "not implemented: LISTEN_PORT $LISTEN_PORT (the signer RPC)" >&2; exit 1; fi && \
    apt-get update && \
    sed '/^# tests/,$d; /^#/d; s/ .*//' scripts/packages.txt | DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends && \
    SIGN_SERVICE_CONFIG=/src/$CONFIG KMS_PROXY_PORT=$PROXY_PORT ENCLAVE_PARENT_CID=$PROXY_CID COUNTERSIGN_TARGET=/out \
    scripts/sign-service/build_server.sh

FROM scratch AS programs
COPY --from=compiled /out/sign-service-enclave/ /

# Each file by its name: what else lies in the folder stays outside.
FROM scratch
COPY --from=programs /sign-init /sign-core /sign-kms /sign-service /bin/
COPY --from=programs /config.cbor /sign-service.yaml /etc/countersign/
COPY --from=programs /ca-certificates.crt /etc/ssl/certs/
COPY --from=programs /mounts/ /
CMD ["/bin/sign-init"]
