"""The same boto3 calls against sign-emulator and against moto, a second opinion on what KMS, STS and S3 answer.

Per call: both succeed, or both fail with the same error code; the answers have the same members (nested too), and the values named
in VALUES are equal. Where the two differ DIFFERENT says exactly how, and why the emulator stays as it is; a difference that is gone
fails too. Run by boto3_moto.sh, which brings both packages.
"""
import hashlib
import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3
import botocore.exceptions
from botocore.config import Config

os.environ.setdefault("MOTO_ACCOUNT_ID", "123456789012")  # read when moto is imported
from moto.server import ThreadedMotoServer  # noqa: E402

logging.getLogger("werkzeug").setLevel(logging.ERROR)

REGION = "us-east-1"
BIG = b"0123456789abcdef" * (6 << 16)  # 6 MiB

METADATA = {"only the emulator has .KeyMetadata.KeyUsage", "only the emulator has .KeyMetadata.MultiRegion",
            "only moto has .KeyMetadata.SigningAlgorithms"}
CHECKSUM_TYPE = {"only the emulator has .ChecksumType"}
ALGORITHM = {"only the emulator has .EncryptionAlgorithm"}
OF_KMS = "moto leaves out members that KMS's service model has"
NO_STATES = "moto does not enforce the state of a key, KMS does [developer guide, Key states]"

# call: (the differences, exactly, why the emulator is right)
DIFFERENT = {
    **{call: (METADATA, OF_KMS + ", and gives a symmetric key signing algorithms") for call in (
        "create-key", "describe-key", "describe-after", "describe-by-alias", "describe-by-alias-arn", "describe-disabled",
        "describe-dying", "describe-cancelled")},
    "list-keys-one": ({".Truncated: emulator True, moto False"}, "moto ignores Limit"),
    "get-key-policy-unnamed": ({"emulator ok, moto NotFoundException"}, "PolicyName has a default"),
    "tag-reserved": ({"emulator TagException, moto ok"}, "aws: is reserved in keys of tags"),
    "rotation-status": ({"only the emulator has .KeyId"}, OF_KMS),
    "list-aliases-of-key": ({"only the emulator has .Aliases[].CreationDate", "only the emulator has .Aliases[].LastUpdatedDate"},
                            OF_KMS),
    "encrypt": (ALGORITHM, OF_KMS),
    "decrypt": (ALGORITHM, OF_KMS),
    "decrypt-with-key": (ALGORITHM, OF_KMS),
    "decrypt-re-encrypted": (ALGORITHM, OF_KMS),
    "decrypt-garbage": ({"emulator InvalidCiphertextException, moto AccessDeniedException"},
                        "moto reads a key id out of anything; KMS sees that this is no ciphertext"),
    "re-encrypt": ({"only the emulator has .DestinationEncryptionAlgorithm", "only the emulator has .SourceEncryptionAlgorithm"},
                   OF_KMS),
    "encrypt-disabled": ({"emulator DisabledException, moto ok"}, NO_STATES),
    "decrypt-disabled": ({"emulator DisabledException, moto ok"}, NO_STATES),
    "encrypt-dying": ({"emulator KMSInvalidStateException, moto ok"}, NO_STATES),
    "schedule-too-short": ({"emulator ValidationException, moto ok"}, "the window is 7 to 30 days"),
    "schedule": ({"only the emulator has .KeyState", "only the emulator has .PendingWindowInDays"}, OF_KMS),
    **{call: (CHECKSUM_TYPE, "S3 says of which kind a checksum is") for call in (
        "put", "put-empty", "put-empty-again", "put-sha256", "get", "get-summed", "get-empty")},
    "put-crc32": (CHECKSUM_TYPE | {"only the emulator has .ChecksumCRC32"}, "S3 repeats the checksum that came"),
    "put-crc32-wrong": ({"emulator BadDigest, moto ok"}, "moto does not compare checksums"),
    "put-md5-wrong": ({"emulator BadDigest, moto ok"}, "moto does not compare checksums"),
    "put-md5-malformed": ({"emulator InvalidDigest, moto ok"}, "moto does not compare checksums"),
    "list-v1": ({"only the emulator has .Marker", "only the emulator has .Prefix"}, "S3 has both elements, empty"),
    "mpu-complete-wrong-order": ({"emulator InvalidPartOrder, moto EntityTooSmall"}, "the order is of the request, looked at first"),
}

# members whose values must be equal on both sides, wherever they are
VALUES = {
    "AliasName", "Enabled", "KeyState", "KeyUsage", "KeySpec", "Origin", "KeyManager", "EncryptionAlgorithms", "Description",
    "Truncated", "PolicyNames", "TagKey", "TagValue", "PendingWindowInDays", "EncryptionAlgorithm", "Plaintext",
    "KeyRotationEnabled", "Account", "ContentLength", "ContentRange", "ETag", "ContentType", "Metadata", "KeyCount", "Key", "Size",
    "IsTruncated", "Prefix", "MaxKeys", "Delimiter", "StorageClass", "PartNumber", "Body", "AcceptRanges", "ChecksumCRC32",
    "ChecksumSHA256", "Deleted", "Name",
}


class Side:
    """One of the two: clients, and what earlier calls left."""

    def __init__(self, name, kms, s3, sts, credentials, ca):
        self.name = name
        retry = Config(retries={"max_attempts": 0, "mode": "standard"}, connect_timeout=5, read_timeout=30,
                       s3={"addressing_style": "path"})
        session = boto3.session.Session(aws_access_key_id=credentials[0], aws_secret_access_key=credentials[1], region_name=REGION)
        self.kms = session.client("kms", endpoint_url=kms, verify=ca, config=retry)
        self.s3 = session.client("s3", endpoint_url=s3, verify=ca, config=retry)
        self.sts = session.client("sts", endpoint_url=sts, verify=ca, config=retry)


def read_all(value):
    if isinstance(value, dict):
        return {k: read_all(v) for k, v in value.items() if k != "ResponseMetadata"}
    if isinstance(value, list):
        return [read_all(v) for v in value]
    if hasattr(value, "read"):
        return hashlib.sha256(value.read()).hexdigest()
    return value


def outcome(call, side):
    try:
        return "ok", read_all(call(side) or {})
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"], {}


def members(value, path=""):
    if isinstance(value, dict):
        found = set()
        for k, v in value.items():
            found |= {f"{path}.{k}"} | (members(v, f"{path}.{k}") if k != "Metadata" else set())
        return found
    if isinstance(value, list):
        return set().union(*[members(v, path + "[]") for v in value]) if value else set()
    return set()


def values(value, path=""):
    if isinstance(value, dict):
        for k, v in value.items():
            if k in VALUES and not isinstance(v, (dict, list)) or k == "Metadata":
                yield f"{path}.{k}", v
            yield from values(v, f"{path}.{k}")
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from values(v, f"{path}[{i}]")


def setup_calls():
    def create_key(s):
        r = s.kms.create_key(Description="interop", Tags=[{"TagKey": "a", "TagValue": "1"}])
        s.key, s.arn = r["KeyMetadata"]["KeyId"], r["KeyMetadata"]["Arn"]
        return r

    def second_key(s):
        s.other = s.kms.create_key()["KeyMetadata"]["KeyId"]

    yield "create-key", create_key
    yield "create-second-key", second_key


ZERO = "00000000-0000-4000-8000-000000000000"


def alias_calls():
    yield "create-alias", lambda s: s.kms.create_alias(AliasName="alias/app", TargetKeyId=s.key)
    yield "create-alias-again", lambda s: s.kms.create_alias(AliasName="alias/app", TargetKeyId=s.key)
    yield "create-alias-colon", lambda s: s.kms.create_alias(AliasName="alias/a:b", TargetKeyId=s.key)
    yield "create-alias-no-prefix", lambda s: s.kms.create_alias(AliasName="app", TargetKeyId=s.key)
    yield "create-alias-characters", lambda s: s.kms.create_alias(AliasName="alias/a b", TargetKeyId=s.key)
    yield "create-alias-reserved", lambda s: s.kms.create_alias(AliasName="alias/aws/s3", TargetKeyId=s.key)
    yield "create-alias-to-alias", lambda s: s.kms.create_alias(AliasName="alias/b", TargetKeyId="alias/app")
    yield "create-alias-no-key", lambda s: s.kms.create_alias(AliasName="alias/b", TargetKeyId=ZERO)
    yield "list-aliases-of-key", lambda s: s.kms.list_aliases(KeyId=s.key)
    yield "describe-by-alias", lambda s: s.kms.describe_key(KeyId="alias/app")
    yield "describe-by-alias-arn", lambda s: s.kms.describe_key(KeyId=s.arn.split(":key/")[0] + ":alias/app")
    yield "describe-no-alias", lambda s: s.kms.describe_key(KeyId="alias/none")
    yield "describe-no-key", lambda s: s.kms.describe_key(KeyId=ZERO)
    yield "update-alias", lambda s: s.kms.update_alias(AliasName="alias/app", TargetKeyId=s.other)
    yield "update-alias-missing", lambda s: s.kms.update_alias(AliasName="alias/none", TargetKeyId=s.other)
    yield "delete-alias", lambda s: s.kms.delete_alias(AliasName="alias/app")
    yield "delete-alias-missing", lambda s: s.kms.delete_alias(AliasName="alias/app")
    yield "policy-by-alias", lambda s: s.kms.get_key_policy(KeyId="alias/app", PolicyName="default")


def key_calls():
    yield "describe-key", lambda s: s.kms.describe_key(KeyId=s.arn)
    yield "list-keys", lambda s: {"Truncated": s.kms.list_keys()["Truncated"], "Keys": s.kms.list_keys()["Keys"][:1]}
    yield "list-keys-one", lambda s: {"n": len(s.kms.list_keys(Limit=1)["Keys"]), "Truncated": s.kms.list_keys(Limit=1)["Truncated"]}
    yield "list-key-policies", lambda s: s.kms.list_key_policies(KeyId=s.key)
    yield "get-key-policy", lambda s: s.kms.get_key_policy(KeyId=s.key, PolicyName="default")
    yield "get-key-policy-unnamed", lambda s: s.kms.get_key_policy(KeyId=s.key)
    yield "get-key-policy-other", lambda s: s.kms.get_key_policy(KeyId=s.key, PolicyName="other")
    yield "list-tags", lambda s: s.kms.list_resource_tags(KeyId=s.key)
    yield "tag", lambda s: s.kms.tag_resource(KeyId=s.key, Tags=[{"TagKey": "b", "TagValue": "2"}, {"TagKey": "a", "TagValue": "3"}])
    yield "list-tags-again", lambda s: s.kms.list_resource_tags(KeyId=s.key)
    yield "tag-reserved", lambda s: s.kms.tag_resource(KeyId=s.key, Tags=[{"TagKey": "aws:b", "TagValue": "2"}])
    yield "untag", lambda s: s.kms.untag_resource(KeyId=s.key, TagKeys=["a", "none"])
    yield "list-tags-after", lambda s: s.kms.list_resource_tags(KeyId=s.key)
    yield "update-description", lambda s: s.kms.update_key_description(KeyId=s.key, Description="new")
    yield "describe-after", lambda s: s.kms.describe_key(KeyId=s.key)
    yield "rotation-status", lambda s: s.kms.get_key_rotation_status(KeyId=s.key)
    yield "list-grants", lambda s: s.kms.list_grants(KeyId=s.key)


def crypt_calls():
    def encrypt(s):
        r = s.kms.encrypt(KeyId=s.key, Plaintext=b"hello", EncryptionContext={"app": "sign"})
        s.blob = r["CiphertextBlob"]
        return r

    def re_encrypt(s):
        r = s.kms.re_encrypt(CiphertextBlob=s.blob, SourceEncryptionContext={"app": "sign"}, DestinationKeyId=s.other)
        s.blob2 = r["CiphertextBlob"]
        return r

    context = {"app": "sign"}
    yield "encrypt", encrypt
    yield "decrypt", lambda s: s.kms.decrypt(CiphertextBlob=s.blob, EncryptionContext=context)
    yield "decrypt-with-key", lambda s: s.kms.decrypt(CiphertextBlob=s.blob, EncryptionContext=context, KeyId=s.key)
    yield "decrypt-wrong-context", lambda s: s.kms.decrypt(CiphertextBlob=s.blob, EncryptionContext={"app": "other"})
    yield "decrypt-garbage", lambda s: s.kms.decrypt(CiphertextBlob=b"some text that is no ciphertext at all, but long enough to be one")
    yield "re-encrypt", re_encrypt
    yield "decrypt-re-encrypted", lambda s: s.kms.decrypt(CiphertextBlob=s.blob2)
    yield "data-key", lambda s: {k: len(v) if k == "Plaintext" else v for k, v in s.kms.generate_data_key(
        KeyId=s.key, KeySpec="AES_256").items()}
    yield "data-key-sealed", lambda s: s.kms.generate_data_key_without_plaintext(KeyId=s.key, NumberOfBytes=64)
    yield "data-key-neither", lambda s: s.kms.generate_data_key(KeyId=s.key)
    yield "data-key-both", lambda s: s.kms.generate_data_key(KeyId=s.key, KeySpec="AES_128", NumberOfBytes=16)
    yield "data-key-too-long", lambda s: s.kms.generate_data_key(KeyId=s.key, NumberOfBytes=1025)
    yield "random", lambda s: {"n": len(s.kms.generate_random(NumberOfBytes=33)["Plaintext"])}
    yield "random-too-long", lambda s: s.kms.generate_random(NumberOfBytes=1025)
    yield "encrypt-too-long", lambda s: s.kms.encrypt(KeyId=s.key, Plaintext=b"x" * 4097)
    yield "encrypt-no-key", lambda s: s.kms.encrypt(KeyId=ZERO, Plaintext=b"x")


def state_calls():
    yield "disable", lambda s: s.kms.disable_key(KeyId=s.key)
    yield "encrypt-disabled", lambda s: s.kms.encrypt(KeyId=s.key, Plaintext=b"x")
    yield "decrypt-disabled", lambda s: s.kms.decrypt(CiphertextBlob=s.blob, EncryptionContext={"app": "sign"})
    yield "describe-disabled", lambda s: s.kms.describe_key(KeyId=s.key)
    yield "enable", lambda s: s.kms.enable_key(KeyId=s.key)
    yield "schedule-too-short", lambda s: s.kms.schedule_key_deletion(KeyId=s.key, PendingWindowInDays=6)
    yield "schedule", lambda s: s.kms.schedule_key_deletion(KeyId=s.key, PendingWindowInDays=7)
    yield "describe-dying", lambda s: s.kms.describe_key(KeyId=s.key)
    yield "encrypt-dying", lambda s: s.kms.encrypt(KeyId=s.key, Plaintext=b"x")
    yield "cancel", lambda s: s.kms.cancel_key_deletion(KeyId=s.key)
    yield "describe-cancelled", lambda s: s.kms.describe_key(KeyId=s.key)
    yield "caller-identity", lambda s: s.sts.get_caller_identity()


def object_calls():
    def put(key, body, **more):
        return lambda s: s.s3.put_object(Bucket="interop", Key=key, Body=body, **more)

    def get(key, **more):
        return lambda s: s.s3.get_object(Bucket="interop", Key=key, **more)

    yield "create-bucket", lambda s: s.s3.create_bucket(Bucket="interop")
    yield "head-bucket", lambda s: s.s3.head_bucket(Bucket="interop")
    yield "head-no-bucket", lambda s: s.s3.head_bucket(Bucket="no-such-bucket")
    yield "location", lambda s: s.s3.get_bucket_location(Bucket="interop")
    yield "put", put("enclave/a b+~.age", b"0123456789", ContentType="text/x-age", Metadata={"purpose": "test"})
    yield "put-empty", put("empty", b"")
    yield "put-sha256", put("summed", b"hello", ChecksumAlgorithm="SHA256")
    yield "put-crc32", put("crc", b"123456789", ChecksumCRC32="y/Q5Jg==")
    # over "empty", so that the lists below are alike whether it is taken or not; put again after them
    yield "put-crc32-wrong", put("empty", b"", ChecksumCRC32="AAAAAQ==")
    yield "put-md5-wrong", put("empty", b"", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    yield "put-md5-malformed", put("empty", b"", ContentMD5="xx")
    yield "put-empty-again", put("empty", b"")
    yield "put-not-there-yet", put("empty", b"x", IfNoneMatch="*")
    yield "get", get("enclave/a b+~.age")
    yield "get-summed", get("summed", ChecksumMode="ENABLED")
    yield "get-empty", get("empty")
    yield "get-range", get("enclave/a b+~.age", Range="bytes=2-4")
    yield "get-range-open", get("enclave/a b+~.age", Range="bytes=7-")
    yield "get-range-suffix", get("enclave/a b+~.age", Range="bytes=-3")
    yield "get-range-long", get("enclave/a b+~.age", Range="bytes=5-99")
    yield "get-range-outside", get("enclave/a b+~.age", Range="bytes=10-")
    yield "get-if-match-wrong", get("empty", IfMatch='"0"')
    yield "get-missing", get("none")
    yield "get-no-bucket", lambda s: s.s3.get_object(Bucket="no-such-bucket", Key="a")
    yield "head", lambda s: s.s3.head_object(Bucket="interop", Key="enclave/a b+~.age")
    yield "head-missing", lambda s: s.s3.head_object(Bucket="interop", Key="none")
    yield "copy", lambda s: {"ETag": s.s3.copy_object(
        Bucket="interop", Key="copy", CopySource={"Bucket": "interop", "Key": "enclave/a b+~.age"})["CopyObjectResult"]["ETag"]}
    yield "copy-missing", lambda s: s.s3.copy_object(Bucket="interop", Key="copy", CopySource={"Bucket": "interop", "Key": "none"})


def strip_list(r):
    """A listing without what only one side says of its owner, and with tokens as presence."""
    r = {k: v for k, v in r.items() if k not in ("ResponseMetadata", "RequestCharged", "EncodingType")}
    r["Contents"] = [{k: v for k, v in o.items() if k in ("Key", "Size", "ETag", "StorageClass", "LastModified")}
                     for o in r.get("Contents", [])]
    return r


def list_calls():
    def listing(**more):
        return lambda s: strip_list(s.s3.list_objects_v2(Bucket="interop", **more))

    def all_pages(s):
        pages = s.s3.get_paginator("list_objects_v2").paginate(Bucket="interop", PaginationConfig={"PageSize": 2})
        return {"Contents": [{"Key": o["Key"]} for p in pages for o in p.get("Contents", [])]}

    yield "list", listing()
    yield "list-v1", lambda s: strip_list(s.s3.list_objects(Bucket="interop"))
    yield "list-prefix", listing(Prefix="e")
    yield "list-delimiter", listing(Delimiter="/")
    yield "list-start-after", listing(StartAfter="crc")
    yield "list-none", listing(Prefix="zzz")
    yield "list-pages", all_pages
    yield "list-no-bucket", lambda s: s.s3.list_objects_v2(Bucket="no-such-bucket")
    yield "list-buckets", lambda s: {"Buckets": [{"Name": b["Name"]} for b in s.s3.list_buckets()["Buckets"]]}


def part_calls():
    def create(s):
        r = s.s3.create_multipart_upload(Bucket="interop", Key="parts")
        s.upload = r["UploadId"]
        return {k: r[k] for k in ("Bucket", "Key", "UploadId")}

    def part(number, body):
        def call(s):
            r = s.s3.upload_part(Bucket="interop", Key="parts", UploadId=s.upload, PartNumber=number, Body=body)
            s.etags = {**getattr(s, "etags", {}), number: r["ETag"]}
            return {"ETag": r["ETag"]}
        return call

    def complete(numbers, etag=None):
        def call(s):
            parts = [{"PartNumber": n, "ETag": etag or s.etags[n]} for n in numbers]
            r = s.s3.complete_multipart_upload(Bucket="interop", Key="parts", UploadId=s.upload, MultipartUpload={"Parts": parts})
            return {k: r[k] for k in ("Bucket", "Key", "ETag")}
        return call

    def lists(s):
        r = s.s3.list_parts(Bucket="interop", Key="parts", UploadId=s.upload)
        return {"Parts": [{k: p[k] for k in ("PartNumber", "Size", "ETag")} for p in r["Parts"]], "IsTruncated": r["IsTruncated"]}

    yield "mpu-create", create
    yield "mpu-part-1", part(1, BIG)
    yield "mpu-part-2", part(2, b"the end")
    yield "mpu-list", lists
    yield "mpu-complete-wrong-order", complete([2, 1])
    yield "mpu-complete-wrong-etag", complete([1, 2], '"00000000000000000000000000000000"')
    yield "mpu-complete", complete([1, 2])
    yield "mpu-get", lambda s: {k: v for k, v in s.s3.get_object(Bucket="interop", Key="parts").items()
                                if k in ("ETag", "ContentLength", "Body")}
    yield "mpu-complete-again", lambda s: s.s3.list_parts(Bucket="interop", Key="parts", UploadId=s.upload)
    yield "mpu-create-2", create
    yield "mpu-small-1", part(1, b"small")
    yield "mpu-small-2", part(2, b"small")
    yield "mpu-complete-too-small", complete([1, 2])
    yield "mpu-abort", lambda s: s.s3.abort_multipart_upload(Bucket="interop", Key="parts", UploadId=s.upload)
    yield "mpu-abort-again", lambda s: s.s3.abort_multipart_upload(Bucket="interop", Key="parts", UploadId=s.upload)
    yield "delete", lambda s: s.s3.delete_object(Bucket="interop", Key="parts")
    yield "delete-missing", lambda s: s.s3.delete_object(Bucket="interop", Key="parts")
    yield "delete-bucket-full", lambda s: s.s3.delete_bucket(Bucket="interop")
    yield "delete-several", lambda s: {"Deleted": sorted(d["Key"] for d in s.s3.delete_objects(
        Bucket="interop", Delete={"Objects": [{"Key": o["Key"]} for o in s.s3.list_objects_v2(Bucket="interop")["Contents"]]})["Deleted"])}
    yield "delete-bucket", lambda s: s.s3.delete_bucket(Bucket="interop")
    yield "delete-bucket-again", lambda s: s.s3.delete_bucket(Bucket="interop")


def differences(ours, theirs):
    if ours[0] != theirs[0]:
        return {f"emulator {ours[0]}, moto {theirs[0]}"}
    a, b = members(ours[1]), members(theirs[1])
    found = {f"only the emulator has {m}" for m in a - b} | {f"only moto has {m}" for m in b - a}
    mine, other = dict(values(ours[1])), dict(values(theirs[1]))
    return found | {f"{k}: emulator {mine[k]!r}, moto {other[k]!r}" for k in mine if k in other and mine[k] != other[k]}


def published_policies(side):
    """Key policies of published projects (when their folder is there) are taken as they are, and come back as they are."""
    folder = pathlib.Path(__file__).resolve().parents[3] / "shared/vectors/kms-policies"
    expected = folder / "expected.json"
    if not expected.exists():
        return
    for name, row in sorted(json.loads(expected.read_text()).items()):
        if row["kind"] != "key-policy":
            continue
        text = (folder / name).read_text()
        key = side.kms.create_key()["KeyMetadata"]["KeyId"]
        try:
            side.kms.put_key_policy(KeyId=key, Policy=text, BypassPolicyLockoutSafetyCheck=True)
            yield f"policy-{name}", True
        except botocore.exceptions.ClientError as e:
            yield f"policy-{name} {e}", False


def start_emulator(folder):
    program = str(pathlib.Path(os.environ.get("COUNTERSIGN_BIN", "build/bin")) / "sign-emulator")
    program = program if os.path.exists(program) else shutil.which("sign-emulator")
    process = subprocess.Popen([program, "--dir", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    description = pathlib.Path(folder) / "emulator.json"
    end = time.monotonic() + 15
    while not description.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    return process, json.loads(description.read_text())


def main():
    folder = tempfile.mkdtemp(prefix="cs-moto.")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    os.environ.update(HOME=folder, AWS_EC2_METADATA_DISABLED="true", NO_PROXY="*")
    process, e = start_emulator(folder + "/emu")
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    failed = False
    try:
        moto.start()
        host, port = moto.get_host_and_port()
        url = f"http://{host}:{port}"
        urllib.request.urlopen(url + "/moto-api/", timeout=10).read()
        ours = Side("emulator", e["kms"], e["s3"], e["sts"], (e["access_key_id"], e["secret_access_key"]), e["ca"])
        theirs = Side("moto", url, url, url, ("testing", "testing"), None)
        for group in (setup_calls, key_calls, alias_calls, crypt_calls, state_calls, object_calls, list_calls, part_calls):
            for name, call in group():
                found = differences(outcome(call, ours), outcome(call, theirs))
                expected, why = DIFFERENT.get(name, (set(), ""))
                print(f"{'ok' if found == expected else 'not ok'} {name}{' (' + why + ')' if why else ''}", flush=True)
                for line in sorted(found - expected):
                    print("  " + line)
                for line in sorted(expected - found):
                    print("  no longer: " + line)
                failed = failed or found != expected
        for name, taken in published_policies(ours):
            print(f"{'ok' if taken else 'not ok'} {name}")
            failed = failed or not taken
    finally:
        process.terminate()
        process.wait(10)
        moto.stop()
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
