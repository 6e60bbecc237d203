/*
 * The error table: every refusal that a user can meet, once.
 * Columns: name, class, gRPC status, retry (1 = the same request may succeed later), cause, fix.
 * The name is the stable code (CS_E_<name> in C, "<name>" in logs, inject answers and gRPC messages).
 * Rows are added at the end of their section and never renamed or reused. No row text may hold a value from a request.
 */
#ifndef CS_BASE_ERR_TABLE_H
#define CS_BASE_ERR_TABLE_H

#define CS_ERR_TABLE(X)                                                                                                \
    /* general */                                                                                                      \
    X(USAGE, INPUT, INVALID_ARGUMENT, 0, "the command line or request is not one this program takes",                  \
      "see --help for the options and their ranges")                                                                   \
    X(FORMAT, INPUT, INVALID_ARGUMENT, 0, "the input is not well formed", "send it in the documented format")          \
    X(RANGE, INPUT, OUT_OF_RANGE, 0, "a value or buffer is outside its range", "see the documented range")             \
    X(TOO_LARGE, LIMIT, RESOURCE_EXHAUSTED, 0, "the input is larger than the limit", "send less at once")              \
    X(NO_MEMORY, LIMIT, RESOURCE_EXHAUSTED, 1, "not enough memory", "retry later, or give the process more memory")    \
    X(NOT_FOUND, INPUT, NOT_FOUND, 0, "there is no such object", "check the name")                                     \
    X(EXISTS, INPUT, ALREADY_EXISTS, 0, "the object exists already", "choose another name or remove it first")         \
    X(IO, IO, UNAVAILABLE, 1, "reading or writing failed", "check the file, the disk and the permissions")             \
    X(CONNECT, IO, UNAVAILABLE, 1, "the endpoint could not be reached", "check that it runs and the address")          \
    X(CLOSED, IO, UNAVAILABLE, 1, "the connection was closed by the peer", "connect again")                            \
    X(TIMEOUT, IO, DEADLINE_EXCEEDED, 1, "the peer did not answer in time", "retry; check that the peer runs")         \
    X(TLS, AUTH, UNAVAILABLE, 0, "the TLS handshake or certificate check failed",                                      \
      "check the CA, the host name and both clocks")                                                                   \
    X(AUTH, AUTH, UNAUTHENTICATED, 0, "the authentication tag or signature does not match",                            \
      "check the key and that the data was not changed")                                                               \
    X(ENTROPY, INTERNAL, INTERNAL, 0, "the random number generator failed", "restart the machine or enclave")          \
    X(INTERNAL, INTERNAL, INTERNAL, 0, "an internal check failed", "report this with the log")                         \
    X(NOT_IMPLEMENTED, STATE, UNIMPLEMENTED, 0, "not implemented in this version", "see CHANGELOG")                    \
    X(UNSUPPORTED, INPUT, UNIMPLEMENTED, 0, "this variant of the format is not supported", "see the documentation")    \
    X(STATE, STATE, FAILED_PRECONDITION, 0, "the operation is not allowed in this phase", "see status for the phase")  \
    X(CONFIG, INPUT, INVALID_ARGUMENT, 0, "the configuration is not valid", "see the message for key and range")       \
    X(CONFIG_KEY, INPUT, INVALID_ARGUMENT, 0, "the configuration has an unknown key", "remove or correct the key")     \
    /* age and CMS */                                                                                                  \
    X(AGE_HEADER, INPUT, INVALID_ARGUMENT, 0, "the age header is malformed", "encrypt the file again with age")        \
    X(AGE_NO_MATCH, AUTH, PERMISSION_DENIED, 0, "no identity matches a recipient of the age file",                     \
      "encrypt to the recipient of this identity")                                                                     \
    X(AGE_HMAC, AUTH, UNAUTHENTICATED, 0, "the age header was changed (HMAC mismatch)", "fetch the file again")        \
    X(AGE_PAYLOAD, AUTH, UNAUTHENTICATED, 0, "the age payload is truncated or was changed", "fetch the file again")    \
    X(AGE_ARMOR, INPUT, INVALID_ARGUMENT, 0, "the age armor is malformed", "fetch the file again")                     \
    X(AGE_IDENTITY, INPUT, INVALID_ARGUMENT, 0, "the age identity or recipient is malformed",                          \
      "give an AGE-SECRET-KEY-1 identity or age1 recipient")                                                           \
    X(CMS, AUTH, INVALID_ARGUMENT, 0, "the CMS envelope cannot be opened", "ask KMS again; check the RSA key")         \
    /* attestation */                                                                                                  \
    X(ATT_FORMAT, INPUT, INVALID_ARGUMENT, 0, "not a well-formed attestation document", "get a fresh document")        \
    X(ATT_CHAIN, AUTH, PERMISSION_DENIED, 0, "the certificate chain does not lead to the root",                        \
      "check the root; take documents from the enclave only")                                                          \
    X(ATT_SIGNATURE, AUTH, PERMISSION_DENIED, 0, "the document's signature is wrong", "get a fresh document")          \
    X(ATT_TIME, AUTH, PERMISSION_DENIED, 0, "the document or a certificate is outside its validity",                   \
      "get a fresh document; check the clock")                                                                         \
    X(ATT_NONCE, AUTH, PERMISSION_DENIED, 0, "the document's nonce is not the one asked for", "ask again")             \
    X(ATT_PCR, AUTH, PERMISSION_DENIED, 0, "a PCR does not have the value required",                                   \
      "check which image runs, or update the PCR policy")                                                              \
    X(ATT_NO_POLICY, INPUT, PERMISSION_DENIED, 0, "no PCR condition was given", "give --pcr N=HEX or --any-pcrs")      \
    X(ATT_DEBUG, AUTH, PERMISSION_DENIED, 0, "the enclave runs in debug mode (PCR0, 1 or 2 is zero)",                  \
      "start it without debug mode")                                                                                   \
    X(ATT_BINDING, AUTH, PERMISSION_DENIED, 0, "the document's public key is not the one expected",                    \
      "check the shares and the enclave")                                                                              \
    X(NSM, INTERNAL, UNAVAILABLE, 1, "the Nitro Security Module refused or failed",                                    \
      "see the log; restart the enclave")                                                                              \
    /* provisioning */                                                                                                 \
    X(INJECT_BUSY, STATE, UNAVAILABLE, 1, "another injector is connected to this port", "retry when it has ended")     \
    X(INJECT_EMPTY, INPUT, INVALID_ARGUMENT, 0, "nothing was sent before end of file", "send the file")                \
    X(INJECT_PAIR, STATE, DEADLINE_EXCEEDED, 1, "the second file of the pair did not come within 60 s",                \
      "inject both 7101 and 7102")                                                                                     \
    X(INJECT_PHASE, STATE, FAILED_PRECONDITION, 1, "files are being unsealed right now",                               \
      "retry when status is SERVING")                                                                                  \
    X(CRED_FORMAT, INPUT, INVALID_ARGUMENT, 0, "the credentials are not the JSON that IMDS gives",                     \
      "send AccessKeyId, SecretAccessKey, Token, Expiration")                                                          \
    X(CRED_EXPIRED, AUTH, UNAUTHENTICATED, 0, "the AWS credentials have expired", "inject fresh ones on port 7100")    \
    X(CRED_MISSING, STATE, FAILED_PRECONDITION, 1, "no AWS credentials have been injected",                            \
      "inject them on port 7100")                                                                                      \
    /* KMS and AWS */                                                                                                  \
    X(KMS_DENIED, REMOTE, PERMISSION_DENIED, 0, "KMS: AccessDeniedException",                                          \
      "check the key policy: PCR values of this image, role, region")                                                  \
    X(KMS_CIPHERTEXT, REMOTE, INVALID_ARGUMENT, 0, "KMS: InvalidCiphertextException",                                  \
      "check the file and the encryption context")                                                                     \
    X(KMS_KEY, REMOTE, INVALID_ARGUMENT, 0, "KMS: the key is not the one that encrypted this, or not found",           \
      "check the key ARN and region")                                                                                  \
    X(KMS_KEY_ID, REMOTE, PERMISSION_DENIED, 0, "KMS answered with another key than the pinned ARN",                   \
      "check the key ARN in the measured configuration")                                                               \
    X(KMS_STATE, REMOTE, FAILED_PRECONDITION, 0, "KMS: the key is disabled or pending deletion", "enable the key")     \
    X(KMS_TOKEN, REMOTE, UNAUTHENTICATED, 0, "KMS: the security token is expired or unknown",                          \
      "inject fresh credentials on port 7100")                                                                         \
    X(KMS_SIGNATURE, REMOTE, UNAUTHENTICATED, 0, "KMS: the request signature was refused",                             \
      "check the secret key and the clock")                                                                            \
    X(KMS_THROTTLED, REMOTE, RESOURCE_EXHAUSTED, 1, "KMS: throttled", "retry later; raise the quota")                  \
    X(KMS_VALIDATION, REMOTE, INVALID_ARGUMENT, 0, "KMS: the request was not valid", "see the type in the log")        \
    X(KMS_UNAVAILABLE, REMOTE, UNAVAILABLE, 1, "KMS: internal error or unavailable", "retry later")                    \
    X(KMS_PLAINTEXT, REMOTE, PERMISSION_DENIED, 0, "KMS answered without encrypting to the enclave",                   \
      "check that Recipient is supported by the endpoint")                                                             \
    X(KMS_ANSWER, REMOTE, UNAVAILABLE, 1, "KMS answered something that is not an answer", "check the endpoint")        \
    X(IMDS, REMOTE, UNAVAILABLE, 1, "the instance metadata service gave no credentials", "attach an instance role")    \
    X(S3, REMOTE, UNAVAILABLE, 1, "S3 did not give the object", "check the URI, the policy and the region")            \
    X(S3_DENIED, REMOTE, PERMISSION_DENIED, 0, "S3: access denied", "allow s3:GetObject to the instance role")         \
    X(S3_NOT_FOUND, REMOTE, NOT_FOUND, 0, "S3: no such bucket or key", "check the S3 URI")                             \
    X(IMDS_ABSENT, REMOTE, UNAVAILABLE, 1, "no instance metadata service answers",                                     \
      "run on an instance with IMDS enabled; check IMDS_ENDPOINT and routes")                                          \
    X(IMDS_HOP, REMOTE, UNAVAILABLE, 1, "the answer with the IMDSv2 token does not arrive: the hop limit is too low",  \
      "set the hop limit of the instance to 2 (modify-instance-metadata-options)")                                     \
    X(IMDS_V1, REMOTE, FAILED_PRECONDITION, 0, "the metadata service knows no IMDSv2 tokens",                          \
      "use a service with IMDSv2; version 1 is not used")                                                              \
    X(IMDS_OFF, REMOTE, PERMISSION_DENIED, 0, "the instance metadata service is disabled or refuses",                  \
      "enable it (http-endpoint enabled); send through no proxy")                                                      \
    X(IMDS_TOKEN, REMOTE, UNAVAILABLE, 1, "the metadata service refuses a fresh token",                                \
      "retry; check that nothing stands between")                                                                      \
    X(IMDS_ROLE, REMOTE, FAILED_PRECONDITION, 0, "the instance has no role",                                           \
      "attach an instance profile with kms:Decrypt and s3:GetObject")                                                  \
    X(IMDS_CODE, REMOTE, UNAVAILABLE, 1, "the metadata service has no credentials for the role (Code is not Success)", \
      "check the trust policy of the role for ec2.amazonaws.com")                                                      \
    X(S3_URI, INPUT, INVALID_ARGUMENT, 0, "not an S3 URI: s3://BUCKET/KEY, optionally ?versionId=ID",                  \
      "check AGE_KEY_S3_URI and KEY_SHARES_S3_URI")                                                                    \
    X(S3_REGION, REMOTE, FAILED_PRECONDITION, 0, "the bucket is in another region, and S3 does not say in which",      \
      "set AWS_REGION to the region of the bucket")                                                                    \
    X(S3_TOKEN, AUTH, UNAUTHENTICATED, 1, "S3: the credentials have expired or are unknown",                           \
      "fetch fresh credentials; check the role")                                                                       \
    X(S3_SIGNATURE, AUTH, UNAUTHENTICATED, 0, "S3: the request signature was refused",                                 \
      "check the secret key, the region and the clock")                                                                \
    X(S3_THROTTLED, REMOTE, RESOURCE_EXHAUSTED, 1, "S3: slow down", "retry later")                                     \
    X(S3_CHANGED, REMOTE, ABORTED, 1, "the object changed while it was read",                                          \
      "try again; pin a version with ?versionId=")                                                                     \
    X(POLICY_WORSE, INPUT, FAILED_PRECONDITION, 0, "the new key policy has holes that the present one has not",        \
      "see signctl kms lint; --force puts it all the same")                                                            \
    X(POLICY_CHANGED, STATE, ABORTED, 1, "the key policy was changed by somebody else meanwhile", "run it again")      \
    X(POLICY_NO_RELEASE, INPUT, NOT_FOUND, 0, "the key policy has no such release",                                    \
      "see the PCRs in its Allow statements, or write it with signctl kms policy")                                     \
    X(POLICY_LAST_RELEASE, STATE, FAILED_PRECONDITION, 0, "it is the last release: nobody could decrypt",              \
      "add the new release first")                                                                                     \
    /* shares */                                                                                                       \
    X(SHARES_FORMAT, INPUT, INVALID_ARGUMENT, 0, "the share file is malformed", "make it again with signctl keygen")   \
    X(SHARES_UNSIGNED, AUTH, PERMISSION_DENIED, 0, "the share file has no publisher signature",                        \
      "sign it with a publisher key of the measured configuration")                                                    \
    X(SHARES_SIGNATURE, AUTH, PERMISSION_DENIED, 0, "the share file's publisher or signature is not accepted",         \
      "sign it with a publisher key of the measured configuration")                                                    \
    X(SHARES_GENERATION, AUTH, FAILED_PRECONDITION, 0,                                                                 \
      "the share file is older than the one in service or than minGeneration",                                         \
      "inject a file of this generation or a later one")                                                               \
    X(SHARES_DUPLICATE, INPUT, INVALID_ARGUMENT, 0,                                                                    \
      "the share file names an account, a caller, a caller's key or a sealing root twice", "remove one of them")       \
    X(SHARES_ACCOUNT, INPUT, INVALID_ARGUMENT, 0, "an account or caller of the share file is not valid",               \
      "make it again with signctl keygen or signctl shares edit")                                                      \
    X(SHARES_LIMIT, LIMIT, RESOURCE_EXHAUSTED, 0, "the share file has more accounts, callers or roots than fit",       \
      "give more memory; at most 8 sealing roots and 4096 callers")                                                    \
    /* signing */                                                                                                      \
    X(ACCOUNT_UNKNOWN, INPUT, NOT_FOUND, 0, "the account is not in the loaded shares", "check the account id")         \
    X(DIGEST_LENGTH, INPUT, INVALID_ARGUMENT, 0, "the digest is not 32 bytes", "send the 32-byte hash to sign")        \
    X(EXECUTION_CONFLICT, STATE, FAILED_PRECONDITION, 0,                                                               \
      "this account, transaction and execution id was used with other data", "use a new execution id")                 \
    X(EPOCH, STATE, FAILED_PRECONDITION, 0, "the two shares are of different epochs", "reload the newest shares")      \
    X(KEY_MISMATCH, INPUT, FAILED_PRECONDITION, 0, "the two shares are not of the same key", "check both share files") \
    X(ABORT_SESSION, PEER, ABORTED, 1, "the signing session was aborted", "retry: a new session is made")              \
    X(PEER_BANNED, PEER, PERMISSION_DENIED, 0, "a party broke the protocol; the pair is banned",                       \
      "investigate, then restart or load an unban signed by the publisher")                                            \
    X(PEER_SILENT, PEER, DEADLINE_EXCEEDED, 1, "the other party did not answer in time",                               \
      "retry; check the other side")                                                                                   \
    X(CHANNEL_UNKNOWN, STATE, UNAVAILABLE, 1, "the enclave does not know this channel (restarted or expired)",         \
      "open a new channel")                                                                                            \
    X(CHANNEL_AUTH, AUTH, UNAUTHENTICATED, 0, "the channel handshake failed: unknown or wrong static key",             \
      "check that the client shares belong to this enclave's shares")                                                  \
    X(SESSION_LIMIT, LIMIT, RESOURCE_EXHAUSTED, 1, "too many sessions at once", "retry later")                         \
    X(NOT_SERVING, STATE, UNAVAILABLE, 1, "no shares are loaded yet", "inject files on 7100, 7101 and 7102")           \
    X(BAD_SIGNATURE, PEER, ABORTED, 0, "the finished signature does not verify", "investigate: a party lies")          \
    X(UNBAN, AUTH, PERMISSION_DENIED, 0, "the unban order is not valid", "sign it with a publisher key")               \
    X(UNBAN_LIMIT, STATE, FAILED_PRECONDITION, 0, "the bans of this key were lifted 3 times within a day",             \
      "find out who lies; give that client new shares")                                                                \
    /* host */                                                                                                         \
    X(LAUNCH, INTERNAL, UNAVAILABLE, 0, "a program of the enclave could not be started", "see the log")                \
    X(PROXY_DENIED, AUTH, PERMISSION_DENIED, 0, "the destination is not on the allow-list",                            \
      "add it to the allow-list")                                                                                      \
    X(EIF_FORMAT, INPUT, INVALID_ARGUMENT, 0, "not a well-formed enclave image file", "build it again")                \
    X(EIF_CRC, INPUT, INVALID_ARGUMENT, 0, "the enclave image file's checksum is wrong", "fetch or build it again")    \
    X(EIF_TRUNCATED, INPUT, INVALID_ARGUMENT, 0, "the enclave image file ends inside a section",                       \
      "fetch or build it again")                                                                                       \
    X(EIF_SECTIONS, INPUT, INVALID_ARGUMENT, 0,                                                                        \
      "the enclave image has not one kernel, one cmdline and a ramdisk, or too many sections", "build it again")       \
    X(EIF_TABLE, INPUT, INVALID_ARGUMENT, 0, "the enclave image's table of sections is not what its sections are",     \
      "build it again")                                                                                                \
    X(EIF_SIGNATURE, AUTH, PERMISSION_DENIED, 0,                                                                       \
      "the enclave image's signature is not its certificate's over its PCR0", "sign it again with signctl eif sign")   \
    X(EIF_SIGNER, INPUT, INVALID_ARGUMENT, 0, "the signing certificate or private key cannot sign an enclave image",   \
      "give PEM files of one P-256, P-384 or P-521 key, unencrypted, the certificate within its validity")             \
    X(IMAGE_KERNEL, INPUT, INVALID_ARGUMENT, 0, "there is no kernel for the image, or it is none",                     \
      "give --kernel FILE (a bzImage; make eif builds one) or --blobs DIR of nitro-cli, and a command line")           \
    X(IMAGE_PROGRAM, INPUT, INVALID_ARGUMENT, 0, "a program for the image is missing or is not static-pie for x86-64", \
      "give --program-dir with the programs of a release build")                                                       \
    X(IMAGE_SIZE, LIMIT, RESOURCE_EXHAUSTED, 0, "the application's ramdisk is over 16 MB",                             \
      "build the programs without what they do not need")                                                              \
    X(NITRO_CLI, IO, UNAVAILABLE, 0, "nitro-cli is not there or cannot be run",                                        \
      "install aws-nitro-enclaves-cli, or name it by --nitro-cli (NITRO_CLI)")                                         \
    X(NITRO_DEVICE, STATE, FAILED_PRECONDITION, 0, "this machine gives no enclave device, or not to this user",        \
      "enable enclaves on the instance, join group ne; --driver local runs without an enclave")                        \
    X(NITRO_ARGUMENT, INPUT, INVALID_ARGUMENT, 0, "nitro-cli refuses an argument",                                     \
      "check CID, memory, CPU count and image path")                                                                   \
    X(NITRO_CPUS, LIMIT, RESOURCE_EXHAUSTED, 1, "the enclave CPU pool has not enough CPUs",                            \
      "raise cpu_count in allocator.yaml and restart the allocator, or lower CPU_COUNT")                               \
    X(NITRO_MEMORY, LIMIT, FAILED_PRECONDITION, 0, "the memory is less than four times the image",                     \
      "raise MEMORY_MIB, or use a smaller image")                                                                      \
    X(NITRO_HUGEPAGES, LIMIT, RESOURCE_EXHAUSTED, 1, "the allocator has not enough huge pages for the enclave",        \
      "raise memory_mib in allocator.yaml and restart the allocator")                                                  \
    X(NITRO_START, REMOTE, UNAVAILABLE, 1, "the hypervisor refused to make or start the enclave",                      \
      "see the message; check CID, CPUs and memory")                                                                   \
    X(NITRO_IMAGE, INPUT, INVALID_ARGUMENT, 0, "nitro-cli cannot read the enclave image",                              \
      "fetch or build the image again")                                                                                \
    X(NITRO_BOOT, REMOTE, DEADLINE_EXCEEDED, 1, "the enclave sent no heartbeat: it did not boot",                      \
      "check the image; start no two enclaves at once; see its console with --debug-mode")                             \
    X(NITRO_CID, STATE, ALREADY_EXISTS, 1, "the enclave CID is in use",                                                \
      "stop that enclave, or choose another ENCLAVE_CID")                                                              \
    X(NITRO_NAME, STATE, ALREADY_EXISTS, 0, "an enclave of this name runs already, or there is none",                  \
      "see sign-host status; stop it, or start with --replace")                                                        \
    X(NITRO_SIGNATURE, AUTH, FAILED_PRECONDITION, 0, "the signature of the image is not accepted",                     \
      "sign it again with a certificate that is valid now")                                                            \
    X(NITRO_CONSOLE, STATE, FAILED_PRECONDITION, 0, "the console is readable in debug mode only",                      \
      "read the log of port 7110; start with --debug-mode and a test key")                                             \
    X(NITRO_GONE, REMOTE, UNAVAILABLE, 1, "the enclave or its nitro-cli process has gone", "start it again")           \
    X(NITRO_ANSWER, REMOTE, UNAVAILABLE, 1, "nitro-cli answered something that is not its answer",                     \
      "check the version of nitro-cli")                                                                                \
    X(NITRO, REMOTE, UNAVAILABLE, 1, "nitro-cli failed", "see the message and /var/log/nitro_enclaves")                \
    X(ENCLAVE_DIED, REMOTE, UNAVAILABLE, 1, "the enclave ended by itself",                                             \
      "see its log (--console-log); it is started again")                                                              \
    X(ENCLAVE_EXISTS, STATE, ALREADY_EXISTS, 0, "an enclave of this name runs that this program did not start",        \
      "end it with sign-host stop, or start with --replace")                                                           \
    X(NOT_RUNNING, STATE, NOT_FOUND, 0, "no sign-host runs in this directory",                                         \
      "start it with sign-host run; check --dir")                                                                      \
    X(REPLACE_BUSY, STATE, UNAVAILABLE, 1, "a replacement or a start is under way", "wait for it: sign-host status")   \
    X(QEMU, REMOTE, UNAVAILABLE, 0, "QEMU or vhost-device-vsock could not be started, or ended",                       \
      "make boot-test-qemu builds both; see --qemu, PATH and the message")                                             \
    X(DNS, IO, UNAVAILABLE, 1, "the name could not be resolved", "check the name and the resolver")                    \
    X(PROXY_FULL, LIMIT, RESOURCE_EXHAUSTED, 1, "as many connections are open as this destination may have",           \
      "retry later, raise the limit (-w), or find out who keeps them open")                                            \
    X(PROXY_PEER, AUTH, PERMISSION_DENIED, 0, "the peer's CID may not use this port",                                  \
      "enclaves (CID 4 and above) may; another one by --peer-cid")                                                     \
    X(ALLOWLIST, INPUT, INVALID_ARGUMENT, 0, "the allow-list is not one: nothing is allowed",                          \
      "correct the line; sign-host allowlist prints one with every AWS region")                                        \
    X(LIBRARY, IO, UNAVAILABLE, 0, "a library that is loaded when it is needed is not there",                          \
      "install libcurl4 (Debian's package)")                                                                           \
    /* sign-host doctor */                                                                                             \
    X(ALLOCATOR, INPUT, FAILED_PRECONDITION, 0, "allocator.yaml is missing, malformed or reserves too little",         \
      "set memory_mib and cpu_count, then systemctl restart nitro-enclaves-allocator")                                 \
    X(IMAGE_CONFIG, INPUT, FAILED_PRECONDITION, 0, "the image holds no configuration of Countersign",                  \
      "build it with signctl eif build or scripts/sign-service")                                                       \
    X(HOST_CLOCK, STATE, FAILED_PRECONDITION, 0, "the parent's clock has another source, or is not synchronised",      \
      "use kvm-clock or tsc; run chrony with 169.254.169.123")                                                         \
    X(CLOCK_SKEW, STATE, FAILED_PRECONDITION, 0, "this clock differs from AWS's", "run chrony with 169.254.169.123")   \
    X(ENTROPY_LOW, STATE, FAILED_PRECONDITION, 1, "the kernel has little entropy", "check hwrng and rngd")             \
    X(IMDS_OPEN, REMOTE, FAILED_PRECONDITION, 0, "the metadata service also answers without a token (version 1)",      \
      "modify-instance-metadata-options --http-tokens required")                                                       \
    X(KMS_OPEN, REMOTE, FAILED_PRECONDITION, 0, "KMS decrypts for this host without attestation",                      \
      "signctl kms lint names the hole; write the policy anew with signctl kms policy")                                \
    X(PCR_MISMATCH, STATE, FAILED_PRECONDITION, 0, "the measurements are another image's",                             \
      "run the image that is named, or name this one: signctl kms update")                                             \
    X(CERT_AGE, STATE, FAILED_PRECONDITION, 0, "a certificate of the image is out of its time or soon will be",        \
      "build and sign the image anew")                                                                                 \
    /* gateway and rooms */                                                                                            \
    X(UPSTREAM, IO, UNAVAILABLE, 1, "the gateway cannot reach sign-service",                                           \
      "check sign_service.url and that sign-service runs")                                                             \
    X(ROOMS_OFF, STATE, FAILED_PRECONDITION, 0, "this service knows no gateway: rooms are off",                        \
      "set gateway.url, or use countersign.v1.Party/Session")                                                          \
    X(ROOM_LIMIT, LIMIT, RESOURCE_EXHAUSTED, 1, "a limit of rooms, messages or subscribers is reached",                \
      "retry later, or raise the rooms limits")                                                                        \
    X(ROOM_MESSAGE, INPUT, INVALID_ARGUMENT, 0, "not a room's message", "see docs/formats/rooms.md")                   \
    X(ROOM_FULL, LIMIT, RESOURCE_EXHAUSTED, 1, "the room has as many messages, bytes or subscribers as it may",        \
      "use another room, or raise the rooms limits")                                                                   \
    X(KEY_SHARE_FILE, STATE, FAILED_PRECONDITION, 0, "a share file in the clear is for local runs only",               \
      "seal it with age, inject it on 7101 and 7102")                                                                  \
    /* TEE service (docs/formats/tee.md) */                                                                            \
    X(TEE_DISABLED, STATE, FAILED_PRECONDITION, 0,                                                                     \
      "the TEE service is off in the measured configuration or at the gateway",                                        \
      "set tee.enabled and build the image again; tee.enabled at the gateway")                                         \
    X(TEE_BUSY, LIMIT, RESOURCE_EXHAUSTED, 1, "as many TEE calls wait as may", "retry after a moment, with back-off")  \
    X(TEE_GATE, STATE, FAILED_PRECONDITION, 1, "the gateway does not accept what the enclave attests",                 \
      "see the gateway's log and tee.allowedPCRs; run an allowed image")                                               \
    X(TEE_TIMEOUT, STATE, DEADLINE_EXCEEDED, 1, "the TEE call was not done within requestTimeoutSeconds",              \
      "retry with the same request id; check KMS and the load")                                                        \
    X(CALLER_UNKNOWN, AUTH, UNAUTHENTICATED, 0, "the share file has no such caller",                                   \
      "register the caller in the share file and publish it")                                                          \
    X(CALLER_AUTH, AUTH, UNAUTHENTICATED, 0, "the caller's signature over the request is wrong",                       \
      "sign the body of this very request with the registered key")                                                    \
    X(CALLER_OPERATION, AUTH, PERMISSION_DENIED, 0, "the caller may not do this operation",                            \
      "grant the operation in the share file")                                                                         \
    X(CALLER_RECORD, AUTH, PERMISSION_DENIED, 0, "the caller may not use this record",                                 \
      "grant the record in the share file")                                                                            \
    X(CALLER_RATE, LIMIT, RESOURCE_EXHAUSTED, 1, "the caller sends more requests than its rate",                       \
      "send slower, or raise the rate in the share file")                                                              \
    X(REQUEST_TIME, AUTH, FAILED_PRECONDITION, 0, "the time of the request is outside the window",                     \
      "make a new request; check the caller's clock")                                                                  \
    X(REQUEST_REPLAY, AUTH, ALREADY_EXISTS, 0, "this request id was used with another request",                        \
      "use a fresh request id for each request")                                                                       \
    X(REQUEST_CLEAR, INPUT, INVALID_ARGUMENT, 0, "the request holds a secret and is not sealed to the enclave",        \
      "seal it to the key of the attestation document")                                                                \
    X(APPROVALS, AUTH, PERMISSION_DENIED, 0, "the operation needs more approvals than the request has",                \
      "let other callers with operation Approve sign the body")                                                        \
    X(ALGORITHM, INPUT, INVALID_ARGUMENT, 0, "the algorithm is unknown, or not one for this operation or input",       \
      "use ecdsa-secp256k1, ecdsa-p256, ed25519 or schnorr-bip340 as documented")                                      \
    X(KMS_KEY_LIST, AUTH, PERMISSION_DENIED, 0, "the KMS key is not on the measured list",                             \
      "use a key of tee.kmsKeyArns")                                                                                   \
    X(SEAL_ROOT, STATE, FAILED_PRECONDITION, 0, "no sealing root of the share file fits",                              \
      "publish the share file with the root that sealed this")                                                         \
    X(SEAL_OPEN, AUTH, FAILED_PRECONDITION, 0,                                                                         \
      "the ciphertext does not open: changed, or of another record, version or key",                                   \
      "give the row that was stored for this record")                                                                  \
    X(SEAL_VERSION, STATE, ABORTED, 0, "the record has another version", "read the record's version and try again")    \
    X(STORE, IO, UNAVAILABLE, 1, "the store did not take or give the record",                                          \
      "check the database, its disk and its address")                                                                  \
    X(STORE_SCHEMA, STATE, FAILED_PRECONDITION, 0, "the store's schema has another version",                           \
      "run the migrations of this version")                                                                            \
    X(AUDIT_CHAIN, AUTH, FAILED_PRECONDITION, 0,                                                                       \
      "the audit log is not whole, not in order or not made by an attested enclave", "see the line that is named")     \
    X(TOKEN, AUTH, UNAUTHENTICATED, 0, "the bearer token is missing, malformed, expired or not of an accepted issuer", \
      "send a token signed with EdDSA or ES256 by a configured key")                                                   \
    /* sign-init */                                                                                                    \
    X(BOOT, INTERNAL, UNAVAILABLE, 0, "a step of the enclave's start failed",                                          \
      "see step and why in the log; build the image again, or start it as docs/operations.md says")                    \
    X(CLOCK_SOURCE, STATE, FAILED_PRECONDITION, 0, "the kernel's clock source is not one of the measured ones",        \
      "use an instance with one of enclave.clockSources, or measure this one")                                         \
    X(HEARTBEAT, IO, UNAVAILABLE, 1, "the parent did not answer the heartbeat",                                        \
      "start the enclave with nitro-cli, which serves port 9000")                                                      \
    X(SYSTEM_CALL, INTERNAL, UNAVAILABLE, 0, "a program made a system call that its filter forbids",                   \
      "report this with the log; an image with enclave.systemCallFilter: trap names the call")                         \
    X(CORE_ENDED, INTERNAL, UNAVAILABLE, 1, "sign-core ended, and the enclave with it",                                \
      "see the lines before; start the enclave again")                                                                 \
    X(RESTARTS, INTERNAL, UNAVAILABLE, 1, "a program ended more often than it may be restarted",                       \
      "see the lines before; start the enclave again")

#endif
