//! Signatures of the messages between two protectors: HTTP Message Signatures (RFC 9421) over the method, the path, the query,
//! the body's digest (RFC 9530), the token, the sender and the receiver, with `ed25519`.
//!
//! A signature fits one message alone: not another path, body or token, nor another site. The path is the one below the root
//! of the receiver's API, which proxies may serve under a prefix. What is signed is fixed; a signature over less, or in
//! another order, is refused.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use protector_core::id::SiteName;
use protector_openstack::message_signer::UnsignedMessage;
use protector_store::PublicKey;
use sfv::{BareItem, Dictionary, FieldType as _, InnerList, Integer, Item, ListEntry, Parser};
use sha2::{Digest, Sha256};

use crate::key_pair::{SigningKey, is_signed_with};

/// The name of the site that sends, percent-encoded where a header cannot hold it.
pub const SENDER: HeaderName = HeaderName::from_static("protector-sender");
/// The name of the site that it is for.
pub const RECEIVER: HeaderName = HeaderName::from_static("protector-receiver");
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// What is signed, by which key and when.
pub const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
pub const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// The name of the signature among those that a message may have.
const LABEL: &str = "protector";
const ALGORITHM: &str = "ed25519";
/// What is signed, in this order.
const COMPONENTS: [&str; 7] = [
    "@method",
    "@path",
    "@query",
    "content-digest",
    "x-auth-token",
    "protector-sender",
    "protector-receiver",
];
/// What a name cannot have in a header.
const NOT_IN_A_HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// Why the headers of a message are no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{header}: {why}")]
pub struct Malformed {
    header: HeaderName,
    why: String,
}

fn malformed(header: HeaderName, why: impl ToString) -> Malformed {
    Malformed {
        header,
        why: why.to_string(),
    }
}

/// The SHA-256 digest of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDigest([u8; 32]);

impl BodyDigest {
    fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// Whether it is the digest of `body`.
    pub fn fits(&self, body: &Bytes) -> bool {
        *self == Self::of(body)
    }

    fn read(headers: &HeaderMap) -> Result<Self, Malformed> {
        let wrong = |why: &str| malformed(CONTENT_DIGEST, why);
        let entry = dictionary(headers, CONTENT_DIGEST)?.swap_remove("sha-256");
        let Some(ListEntry::Item(Item {
            bare_item: BareItem::ByteSequence(digest),
            ..
        })) = entry
        else {
            return Err(wrong("has no digest 'sha-256'"));
        };
        let digest = digest.try_into();
        digest
            .map(Self)
            .map_err(|_| wrong("'sha-256' is not 32 bytes"))
    }

    fn header(&self) -> String {
        format!("sha-256=:{}:", STANDARD.encode(self.0))
    }
}

/// Who speaks to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties {
    /// The site that sends.
    pub sender: SiteName,
    /// The site that it is for.
    pub receiver: SiteName,
}

/// What tells a message apart from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageStamp {
    /// When it was signed, to the second.
    pub created: DateTime<Utc>,
    /// Made up for it alone.
    pub nonce: String,
}

/// The headers that sign `message` with `key`.
///
/// # Errors
///
/// What of the message cannot be signed.
pub fn sign(
    message: &UnsignedMessage<'_>,
    parties: &Parties,
    stamp: &MessageStamp,
    key: &SigningKey,
) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::new();
    insert(&mut headers, SENDER, &encoded(&parties.sender))?;
    insert(&mut headers, RECEIVER, &encoded(&parties.receiver))?;
    let digest = BodyDigest::of(message.body);
    insert(&mut headers, CONTENT_DIGEST, &digest.header())?;
    let input = input(stamp, key.public())?;
    let (path, query) = match message.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (message.target, None),
    };
    let mut all = message.headers.clone();
    all.extend(headers.clone());
    let signed = signed_text(message.method, path, query, &all, &input)?;
    let signature = STANDARD.encode(key.sign(signed.as_bytes()));
    insert(&mut headers, SIGNATURE_INPUT, &format!("{LABEL}={input}"))?;
    insert(&mut headers, SIGNATURE, &format!("{LABEL}=:{signature}:"))?;
    Ok(headers)
}

/// What a message says of its signature. Nothing of it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderClaim {
    /// Who says that it sends it, and for whom.
    pub parties: Parties,
    /// When, and which message it is.
    pub stamp: MessageStamp,
    /// The fingerprint of the key that it says it is signed with.
    pub fingerprint: String,
    /// The digest that the body must have.
    pub digest: BodyDigest,
    input: String,
    signature: Vec<u8>,
}

impl SenderClaim {
    /// What `headers` say; `None` for a message that is not signed at all.
    ///
    /// # Errors
    ///
    /// Half a signature, or one of another form.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Malformed> {
        if !headers.contains_key(SIGNATURE) && !headers.contains_key(SIGNATURE_INPUT) {
            return Ok(None);
        }
        let wrong = |why: &str| malformed(SIGNATURE_INPUT, why);
        let Some(ListEntry::InnerList(list)) =
            dictionary(headers, SIGNATURE_INPUT)?.swap_remove(LABEL)
        else {
            return Err(wrong("has no signature 'protector'"));
        };
        let text = |name: &str| {
            let value = list.params.get(name).and_then(BareItem::as_string);
            value.map(|value| value.as_str().to_owned())
        };
        if !covers_all(&list) || text("alg").is_some_and(|given| given != ALGORITHM) {
            return Err(wrong("must cover all that is to be signed, with ed25519"));
        }
        let created = list.params.get("created").and_then(BareItem::as_integer);
        let created = created.and_then(|at| DateTime::from_timestamp(i64::from(at), 0));
        let created = created.ok_or_else(|| wrong("'created' is not a time"))?;
        Ok(Some(Self {
            parties: Parties {
                sender: site(headers, SENDER)?,
                receiver: site(headers, RECEIVER)?,
            },
            stamp: MessageStamp {
                created,
                nonce: text("nonce")
                    .filter(|nonce| (1..=64).contains(&nonce.len()))
                    .ok_or_else(|| wrong("'nonce' must have 1 to 64 characters"))?,
            },
            fingerprint: text("keyid").ok_or_else(|| wrong("has no 'keyid'"))?,
            digest: BodyDigest::read(headers)?,
            signature: signature(headers)?,
            input: serialized(list)?,
        }))
    }

    /// Whether the owner of `key` has signed this very request, of which the body is left to its digest.
    ///
    /// # Errors
    ///
    /// What is to be signed and is not there.
    pub fn is_made_with(
        &self,
        key: &PublicKey,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<bool, Malformed> {
        let signed = signed_text(method, uri.path(), uri.query(), headers, &self.input)?;
        Ok(is_signed_with(key, signed.as_bytes(), &self.signature))
    }
}

/// The signature base of RFC 9421, section 2.5.
fn signed_text(
    method: &Method,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    input: &str,
) -> Result<String, Malformed> {
    let query = format!("?{}", query.unwrap_or_default());
    let mut text = String::new();
    for component in COMPONENTS {
        let value = match component {
            "@method" => method.as_str(),
            "@path" => path,
            "@query" => &query,
            header => one(headers, HeaderName::from_static(header))?,
        };
        text.push_str(&format!("\"{component}\": {value}\n"));
    }
    text.push_str(&format!("\"@signature-params\": {input}"));
    Ok(text)
}

/// What is signed, when, as which message and by which key, as text.
fn input(stamp: &MessageStamp, key: &PublicKey) -> Result<String, Malformed> {
    let wrong = |error: sfv::Error| malformed(SIGNATURE_INPUT, error);
    let string =
        |text: &str| sfv::String::from_string(text.to_owned()).map_err(|(error, _)| wrong(error));
    let name =
        |text: &str| sfv::Key::from_string(text.to_owned()).map_err(|(error, _)| wrong(error));
    let mut list = InnerList::default();
    for component in COMPONENTS {
        list.items.push(Item::new(string(component)?));
    }
    let created = Integer::try_from(stamp.created.timestamp())
        .map_err(|_| malformed(SIGNATURE_INPUT, "the clock is beyond all times"))?;
    let params: [(&str, BareItem); 4] = [
        ("created", created.into()),
        ("nonce", string(&stamp.nonce)?.into()),
        ("alg", string(ALGORITHM)?.into()),
        ("keyid", string(&key.fingerprint())?.into()),
    ];
    for (param, value) in params {
        list.params.insert(name(param)?, value);
    }
    serialized(list)
}

fn serialized(list: InnerList) -> Result<String, Malformed> {
    vec![ListEntry::InnerList(list)]
        .serialize()
        .ok_or_else(|| malformed(SIGNATURE_INPUT, "is empty"))
}

fn covers_all(list: &InnerList) -> bool {
    let is = |(item, component): (&Item, &str)| {
        let name = item.bare_item.as_string();
        item.params.is_empty() && name.is_some_and(|name| name.as_str() == component)
    };
    list.items.len() == COMPONENTS.len() && list.items.iter().zip(COMPONENTS).all(is)
}

fn signature(headers: &HeaderMap) -> Result<Vec<u8>, Malformed> {
    match dictionary(headers, SIGNATURE)?.swap_remove(LABEL) {
        Some(ListEntry::Item(Item {
            bare_item: BareItem::ByteSequence(signature),
            ..
        })) => Ok(signature),
        _ => Err(malformed(SIGNATURE, "has no signature 'protector'")),
    }
}

fn dictionary(headers: &HeaderMap, name: HeaderName) -> Result<Dictionary, Malformed> {
    let text = one(headers, name.clone())?;
    Parser::new(text)
        .parse()
        .map_err(|error| malformed(name, error))
}

fn site(headers: &HeaderMap, name: HeaderName) -> Result<SiteName, Malformed> {
    let text = one(headers, name.clone())?;
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(|decoded| SiteName::new(decoded.into_owned()))
        .map_err(|_| malformed(name, "is not UTF-8"))
}

fn encoded(site: &SiteName) -> String {
    utf8_percent_encode(site.as_str(), NOT_IN_A_HEADER).to_string()
}

/// The value of a header that must be there once.
fn one(headers: &HeaderMap, name: HeaderName) -> Result<&str, Malformed> {
    let mut values = headers.get_all(&name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(malformed(name, "must be given once in a signed call"));
    };
    let text = value.to_str();
    text.map(str::trim)
        .map_err(|_| malformed(name, "is not printable ASCII"))
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), Malformed> {
    let value = HeaderValue::from_str(text);
    let value = value.map_err(|_| malformed(name.clone(), "cannot be in a header"))?;
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "gAAAAABk";

    struct Sent {
        method: Method,
        target: &'static str,
        body: &'static [u8],
        headers: HeaderMap,
    }

    fn key() -> SigningKey {
        SigningKey::open(&SigningKey::generate(DateTime::UNIX_EPOCH).unwrap()).unwrap()
    }

    fn sent(key: &SigningKey) -> Sent {
        let mut headers = HeaderMap::new();
        headers.insert("x-auth-token", HeaderValue::from_static(TOKEN));
        let mut sent = Sent {
            method: Method::PUT,
            target: "/v1/p/protection-groups/g/metadata?a=b%20c",
            body: b"{\"x\": 1}",
            headers,
        };
        let message = UnsignedMessage {
            method: &sent.method,
            target: sent.target,
            headers: &sent.headers,
            body: sent.body,
        };
        let parties = Parties {
            sender: "site-ä 100%".into(),
            receiver: "site-b".into(),
        };
        let stamp = MessageStamp {
            created: DateTime::from_timestamp(1_762_178_400, 0).unwrap(),
            nonce: "n-1".to_owned(),
        };
        let signature = sign(&message, &parties, &stamp, key).unwrap();
        sent.headers.extend(signature);
        sent
    }

    fn fits(sent: &Sent, key: &SigningKey) -> bool {
        let Ok(Some(claim)) = SenderClaim::of(&sent.headers) else {
            return false;
        };
        let uri: Uri = sent.target.parse().unwrap();
        let body = Bytes::from_static(sent.body);
        claim.digest.fits(&body)
            && claim
                .is_made_with(key.public(), &sent.method, &uri, &sent.headers)
                .unwrap()
    }

    #[test]
    fn a_message_says_who_sent_it_to_whom_and_when() {
        let key = key();
        let sent = sent(&key);
        assert!(fits(&sent, &key));
        let claim = SenderClaim::of(&sent.headers).unwrap().unwrap();
        assert_eq!(claim.parties.sender.as_str(), "site-ä 100%");
        assert_eq!(claim.parties.receiver.as_str(), "site-b");
        assert_eq!(claim.stamp.created.timestamp(), 1_762_178_400);
        assert_eq!(claim.fingerprint, key.public().fingerprint());
    }

    #[test]
    fn whatever_of_it_is_changed_the_signature_does_not_fit() {
        let key = key();
        let changes: [fn(&mut Sent); 9] = [
            |sent| sent.method = Method::DELETE,
            |sent| sent.target = "/v1/p/protection-groups/h/metadata?a=b%20c",
            |sent| sent.target = "/v1/p/protection-groups/g/metadata?a=b%20d",
            |sent| sent.target = "/v1/p/protection-groups/g/metadata",
            |sent| sent.body = b"{\"x\": 2}",
            |sent| set(sent, "x-auth-token", "another"),
            |sent| set(sent, "protector-sender", "site-c"),
            |sent| set(sent, "protector-receiver", "site-c"),
            |sent| {
                let input = sent.headers[SIGNATURE_INPUT].to_str().unwrap();
                let later = input.replace("1762178400", "1762178401");
                set(sent, "signature-input", &later);
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut sent = sent(&key);
            change(&mut sent);
            assert!(!fits(&sent, &key), "change {number}");
        }
        assert!(!fits(&sent(&key), &self::key()), "another key");
    }

    #[test]
    fn a_signature_over_less_is_none() {
        let key = key();
        for (from, to) in [
            ("\"x-auth-token\" ", ""),
            ("\"@method\" \"@path\"", "\"@path\" \"@method\""),
            ("\"content-digest\"", "\"content-digest\";req"),
            ("ed25519", "hmac-sha256"),
            (";nonce=\"n-1\"", ""),
            ("protector=", "another="),
        ] {
            let mut sent = sent(&key);
            let input = sent.headers[SIGNATURE_INPUT].to_str().unwrap();
            assert!(input.contains(from), "{input}");
            let less = input.replace(from, to);
            set(&mut sent, "signature-input", &less);
            assert!(SenderClaim::of(&sent.headers).is_err(), "{less}");
        }
    }

    #[test]
    fn half_a_signature_is_wrong_and_none_is_none() {
        let key = key();
        for half in [SIGNATURE, SIGNATURE_INPUT, CONTENT_DIGEST, SENDER, RECEIVER] {
            let mut sent = sent(&key);
            sent.headers.remove(&half);
            assert!(SenderClaim::of(&sent.headers).is_err(), "{half}");
            let mut twice = self::sent(&key);
            let value = twice.headers[&half].clone();
            twice.headers.append(half.clone(), value);
            assert!(SenderClaim::of(&twice.headers).is_err(), "{half} twice");
        }
        assert_eq!(SenderClaim::of(&HeaderMap::new()), Ok(None));
    }

    fn set(sent: &mut Sent, name: &'static str, value: &str) {
        sent.headers
            .insert(name, HeaderValue::from_str(value).unwrap());
    }
}
