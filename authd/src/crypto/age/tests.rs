//! Files of another implementation, damaged ones, and texts that are no keys.

use super::*;
use crate::crypto::entropy::SystemEntropy;

const MASTER_KEY: [u8; 32] = [1; 32];

fn sealed(content: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    let entropy = SystemEntropy::default();
    let mut sealing = seal(vec![], &Sealer::new(&MASTER_KEY), recipients, &entropy).unwrap();
    sealing.write_all(content).unwrap();
    sealing.finish().unwrap()
}

fn read(file: &[u8], key: &Key<'_>) -> Result<Vec<u8>, String> {
    let mut opened = open(file, key).map_err(|e| e.to_string())?;
    let mut out = vec![];
    opened.read_to_end(&mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

/// A file and its identity as another implementation (rage 0.12) wrote them, with a stanza that nobody knows.
#[test]
fn cr_09_a_file_of_another_implementation_opens() {
    let identity = "AGE-SECRET-KEY-1QW2L490QREHGDFWRAAUJT8YPRATL87YJL8PD7UMYCPDQX43Z9HFQYHQCRA";
    let identity = Identity::parse(&format!("# made elsewhere\n\n{identity}\n").into()).unwrap();
    assert_eq!(identity.recipient().to_string(), "age1af5s2m22t0qsslr6fwgnsqd9w0p7t9rkfwm8l735vg7kk9p6l4gqp9msgp");
    let file = "6167652d656e6372797074696f6e2e6f72672f76310a2d3e20583235353139204a45756631636f5568504643313441563170496c5379\
        5042566b4b416e6e6f48642f3370567256327430730a6e5967586e2f51534a6d7674544f76475549476531734b642f2f724344644958674d\
        6a504f4972763973770a2d3e20382d677265617365205a24417d7a404543203f243361233e7d0a56674a6d6a393138572f4b6539626c5475\
        457a616f612f475a6162585041324b684361674f6a42462b49484a3834354e37544c4b726e5a586e4f33596331314a0a3848615367\
        6b534b41446e6e6f4c56633973456f0a2d2d2d207a567266542f39414f41617972426730696638336d725738714a3561386f466e502b5850\
        666a717248454d0a20420ed62d53edd473a885ff7a78a1fee42bec969c68756a866de7e11a1e92c8c83db5bea842cfdcbfdc8fcb5a551b\
        aeb1a5dac09b4580";
    let digits: Vec<u8> = file.bytes().filter(u8::is_ascii_hexdigit).collect();
    let nibble = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    let file: Vec<u8> = digits.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect();
    assert_eq!(read(&file, &Key::Identity(&identity)).unwrap(), b"hello from another hand");
    // And its key comes out as it went in.
    let again = Identity::parse(&identity.file()).unwrap();
    assert_eq!(again.recipient(), identity.recipient());
    assert!(
        identity.file().expose().contains("AGE-SECRET-KEY-1QW2L490QREHGDFWRAAUJT8YPRATL87YJL8PD7UMYCPDQX43Z9HFQYHQCRA")
    );
}

#[test]
fn cr_09_a_file_opens_with_the_master_key_and_with_each_recipients_own_and_with_no_other() {
    let entropy = SystemEntropy::default();
    let (first, second, stranger) =
        (Identity::generate(&entropy), Identity::generate(&entropy), Identity::generate(&entropy));
    let recipients = [first.recipient(), second.recipient()];
    for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
        let content: Vec<u8> = (0..=250).cycle().take(len).collect();
        let file = sealed(&content, &recipients);
        for key in [Key::Master(&Sealer::new(&MASTER_KEY)), Key::Identity(&first), Key::Identity(&second)] {
            assert_eq!(read(&file, &key).unwrap(), content, "{len}");
        }
        let refused = read(&file, &Key::Identity(&stranger)).unwrap_err();
        assert!(refused.contains("does not open it") && refused.contains("and 2 recipients"), "{refused}");
        assert!(read(&file, &Key::Master(&Sealer::new(&[2; 32]))).is_err());
    }
    assert!(read(b"not a backup", &Key::Identity(&first)).unwrap_err().contains("not a backup"));
}

#[test]
fn cr_09_every_flipped_byte_and_every_cut_is_refused_with_its_place() {
    let entropy = SystemEntropy::default();
    let identity = Identity::generate(&entropy);
    let content = vec![7; 2 * CHUNK_BYTES + 100];
    let whole = sealed(&content, &[identity.recipient()]);
    let header = whole.windows(4).position(|w| w == b"--- ").unwrap();
    let header = header + whole[header..].iter().position(|b| *b == b'\n').unwrap() + 1;
    let at = (0..header + 80).chain((header + 80..whole.len()).step_by(997));
    for at in at {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        for key in [Key::Master(&Sealer::new(&MASTER_KEY)), Key::Identity(&identity)] {
            let refused = read(&flipped, &key).unwrap_err();
            let (_, place) = refused.rsplit_once("offset ").unwrap_or((refused.as_str(), ""));
            let numbers: Vec<usize> =
                place.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
            // The first line says what the file is: without it there is nothing to say about the rest.
            let is_named = numbers.len() == 2 && (numbers[0]..numbers[1]).contains(&at);
            assert!(is_named || (at < 22 && refused.contains("not a backup")), "{at}: {refused}");
        }
    }
    for len in (0..whole.len()).step_by(499).chain([whole.len() - 1, header, header + 16 + CHUNK_BYTES + 16]) {
        assert!(read(&whole[..len], &Key::Identity(&identity)).is_err(), "cut to {len}");
    }
    assert!(read(&[&whole[..], b"x"].concat(), &Key::Identity(&identity)).is_err(), "longer");
    // Chunks in another order.
    let chunk = CHUNK_BYTES + 16;
    let (first, second) = (header + 16, header + 16 + chunk);
    let swapped =
        [&whole[..first], &whole[second..second + chunk], &whole[first..second], &whole[second + chunk..]].concat();
    assert!(read(&swapped, &Key::Identity(&identity)).is_err());
}

#[test]
fn cr_09_what_is_no_key_is_not_taken_for_one() {
    for bad in [
        "",
        "age1",
        "age1af5s2m22t0qsslr6fwgnsqd9w0p7t9rkfwm8l735vg7kk9p6l4gqp9msgq",
        "AGE-SECRET-KEY-1QW2L490QREHGDFWRAAUJT8YPRATL87YJL8PD7UMYCPDQX43Z9HFQYHQCRA",
        "age1qqqsyqcyq5rqwzqf8flq6x",
    ] {
        assert!(bad.parse::<Recipient>().is_err(), "{bad}");
    }
    for bad in ["", "# only a comment\n", "age1af5s2m22t0qsslr6fwgnsqd9w0p7t9rkfwm8l735vg7kk9p6l4gqp9msgp"] {
        assert!(Identity::parse(&bad.into()).is_err(), "{bad}");
    }
    let zero: Recipient = bech32_of([0; 32]);
    let entropy = SystemEntropy::default();
    assert!(
        seal(vec![], &Sealer::new(&MASTER_KEY), &[zero], &entropy).is_err(),
        "the point at which nothing is secret"
    );
}

fn bech32_of(key: [u8; 32]) -> Recipient {
    let hrp = bech32::Hrp::parse("age").unwrap();
    bech32::encode::<bech32::Bech32>(hrp, &key).unwrap().parse().unwrap()
}
