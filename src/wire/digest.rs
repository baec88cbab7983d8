//! The digest of an answer, as RFC 9530 writes it.

/// `Repr-Digest`: whoever gets the answer can tell whether it is whole.
pub const HEADER: &str = "Repr-Digest";

/// Its value for a SHA-256.
pub fn repr_digest(sha256: &[u8; 32]) -> String {
    format!("sha-256=:{}:", base64(sha256))
}

/// As `sha256sum` prints a digest.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            // A letter a begun six bits; the rest is filled up.
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xef, 0xff]), "++//");
    }

    #[test]
    fn a_digest_is_written_both_ways() {
        let mut sha256 = [0; 32];
        sha256[31] = 0xfe;
        assert_eq!(repr_digest(&sha256), format!("sha-256=:{}P4=:", "A".repeat(41)));
        assert_eq!(hex(&sha256), format!("{}fe", "00".repeat(31)));
    }
}
