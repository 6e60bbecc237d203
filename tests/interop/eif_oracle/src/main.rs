//! eif-oracle build KERNEL CMDLINE METADATA OUTPUT CERTIFICATE|- KEY|- RAMDISK...   as nitro-cli build-enclave writes an image
//! eif-oracle describe FILE                                                         as nitro-cli describe-eif reads one
//! Both print one JSON object. CMDLINE and METADATA (JSON) are files.
use aws_nitro_enclaves_image_format::defs::EifIdentityInfo;
use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;
use aws_nitro_enclaves_image_format::utils::{get_pcrs, EifBuilder, PcrSignatureChecker, SignEnclaveInfo};
use serde_json::json;
use sha2::{Digest, Sha384};
use std::fs::OpenOptions;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn build(a: &[String]) -> Result<()> {
    let info: EifIdentityInfo = serde_json::from_slice(&std::fs::read(&a[2])?)?;
    let sign = match (a[4].as_str(), a[5].as_str()) {
        ("-", _) => None,
        (certificate, key) => Some(SignEnclaveInfo::new(certificate, key)?),
    };
    let cmdline = std::fs::read_to_string(&a[1])?;
    let mut builder = EifBuilder::new(Path::new(&a[0]), cmdline, sign, Sha384::new(), 0, info);
    for ramdisk in &a[6..] {
        builder.add_ramdisk(Path::new(ramdisk));
    }
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&a[3])?;
    println!("{}", json!({ "Measurements": builder.write_to(&mut file) }));
    Ok(())
}

fn describe(path: &str) -> Result<()> {
    let mut e = EifReader::from_eif(path.to_string())?;
    let signed = e.signature_section.is_some();
    let pcrs = get_pcrs(
        &mut e.image_hasher,
        &mut e.bootstrap_hasher,
        &mut e.app_hasher,
        &mut e.cert_hasher,
        Sha384::new(),
        signed,
    )?;
    let certificate = if signed { Some(e.get_certificate_info(pcrs.clone())?) } else { None };
    // what nitro-cli run-enclave asks before it starts an image
    let mut checker = PcrSignatureChecker::from_eif(path)?;
    let run = checker.is_empty() || checker.verify().is_ok();
    println!(
        "{}",
        json!({"CheckCRC": e.check_crc(), "IsSigned": signed, "SignatureCheck": e.sign_check, "Measurements": pcrs,
               "EifVersion": e.header.version, "Metadata": e.get_metadata(), "SigningCertificate": certificate,
               "MayRun": run})
    );
    Ok(())
}

fn main() -> Result<()> {
    let a: Vec<String> = std::env::args().skip(1).collect();
    match a.first().map(String::as_str) {
        Some("build") if a.len() >= 8 => build(&a[1..]),
        Some("describe") if a.len() == 2 => describe(&a[1]),
        _ => Err("usage: eif-oracle build KERNEL CMDLINE METADATA OUTPUT CERT|- KEY|- RAMDISK... | describe FILE".into()),
    }
}
