//! Where TLS's cryptography comes from, and in which order its suites are offered.

use std::sync::Arc;

use rustls::{CipherSuite, crypto::CryptoProvider};

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as source;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use rustls::crypto::ring as source;

// The same names in both, and what rustls itself opens and seals records with.
#[cfg(feature = "aws-lc-rs")]
pub(super) use aws_lc_rs::aead;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
pub(super) use ring::aead;

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("adit-link needs one of its features `ring` (the default) and `aws-lc-rs`");

/// The one place that chooses.
///
/// The suites of TLS 1.3 come in the order that is fastest on this machine. rustls's servers follow
/// the client's order, so a client without AES instructions gets ChaCha20 from any server. AES-128
/// goes before AES-256, which costs more and guards against nothing that anybody can do.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = source::default_provider();
    let aes = has_aes();
    provider
        .cipher_suites
        .sort_by_key(|suite| rank(suite.suite(), aes));
    Arc::new(provider)
}

/// Smaller is earlier. The sort is stable, so TLS 1.2 keeps its order behind TLS 1.3.
fn rank(suite: CipherSuite, aes: bool) -> u8 {
    match suite {
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 if !aes => 0,
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 1,
        CipherSuite::TLS13_AES_256_GCM_SHA384 => 2,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 3,
        _ => 4,
    }
}

/// Whether the processor has instructions for AES-GCM.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS13: [CipherSuite; 3] = [
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS13_AES_128_GCM_SHA256,
    ];

    fn ordered(aes: bool) -> Vec<CipherSuite> {
        let mut suites = TLS13.to_vec();
        suites.sort_by_key(|suite| rank(*suite, aes));
        suites
    }

    #[test]
    fn aes_128_comes_first_where_the_processor_has_aes() {
        assert_eq!(ordered(true)[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(
            ordered(true)[2],
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        );
    }

    #[test]
    fn chacha20_comes_first_where_it_has_not() {
        assert_eq!(
            ordered(false)[0],
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        );
    }

    #[test]
    fn all_suites_of_tls_13_are_offered_before_those_of_tls_12() {
        let provider = provider();
        let of_13: Vec<bool> = provider
            .cipher_suites
            .iter()
            .map(|suite| suite.tls13().is_some())
            .collect();
        assert_eq!(of_13.iter().filter(|is| **is).count(), 3);
        assert!(of_13.is_sorted_by(|a, b| a >= b), "{of_13:?}");
    }
}
