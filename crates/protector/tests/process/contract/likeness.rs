//! Comparing what is printed with what the contract's page prints: equal but for ids and times.

/// Panics unless `printed` is `page`, id for id and time for time.
pub fn assert_like(printed: &str, page: &str) {
    let (printed, page) = (masked(printed), masked(page));
    assert!(
        printed == page,
        "printed:\n{printed}\nthe page says:\n{page}"
    );
}

/// Panics unless the lines of `page` stand in `printed`, one after the other.
pub fn assert_shows(printed: &str, page: &str) {
    let (printed, page) = (masked(printed), masked(page));
    assert!(
        printed.contains(&page),
        "printed:\n{printed}\nthe page says:\n{page}"
    );
}

const ID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
const TIME: &str = "dddd-dd-ddTdd:dd:ddZ";

/// All ids and times as zeros, so that columns keep their widths.
fn masked(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for form in [ID, TIME] {
        for at in 0..bytes.len() {
            if has_form(&bytes[at..], form) {
                bytes[at..at + form.len()].copy_from_slice(zeros(form).as_bytes());
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn has_form(bytes: &[u8], form: &str) -> bool {
    bytes.len() >= form.len()
        && form.bytes().zip(bytes).all(|(wanted, byte)| match wanted {
            b'x' => byte.is_ascii_hexdigit(),
            b'd' => byte.is_ascii_digit(),
            literal => *byte == literal,
        })
}

fn zeros(form: &str) -> String {
    form.replace(['x', 'd'], "0")
}

#[test]
fn ids_and_times_do_not_count_and_all_else_does() {
    assert_like(
        "| op-1a2b3c4d-0001-4b22-a918-00000000000f | 2025-11-03T14:00:00Z |",
        "| op-7a3f2c11-0001-4b22-a918-000000000001 | 2026-01-31T23:59:59Z |",
    );
    assert_ne!(masked("progress 100"), masked("progress 99"));
}
