//! Addresses in texts that somebody else chose, written so that no mail program and no chat makes a link of them.

/// Last labels of more than two letters of which mail programs make links: the usual ones, and those that phishing likes.
/// Those of two letters are those of countries. All there are would make a link of `john.smith`.
const LAST_LABELS: &str = "\
    agency app arpa autos bid biz bond buzz cam center cfd chat click cloud club com company country cyou dev \
    digital download edu email example finance foundation fun gov guru help host icu info int life link live loan \
    lol ltd media men mil mobi mom monster mov net news ninja online org page party pics press pro quest racing red \
    ren rest review rocks sbs science security services shop site solutions space store stream studio support \
    systems tech today tokyo top trade vip wang webcam website wiki win work world wtf xyz zip zone";

/// The text with `https://evil.example` written as `hxxps://evil[.]example`. Addresses of people, and names of AWS services
/// such as `iam.amazonaws.com`, stay as they are: nobody can put a page there.
///
/// ```
/// use gatehouse_shared::harmless::harmless;
///
/// assert_eq!(harmless("see HTTPS://evil.com/x, www.evil.test"), "see HxxPS://evil[.]com/x, www[.]evil[.]test");
/// assert_eq!(harmless("ana@corp.com called iam.amazonaws.com"), "ana@corp.com called iam.amazonaws.com");
/// ```
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(of_host) {
        let (before, from_word) = rest.split_at(start);
        written.push_str(before);
        let (word, after) = from_word.split_at(from_word.find(|c| !of_host(c)).unwrap_or(from_word.len()));
        rest = after;
        if let Some(path) = after.strip_prefix("://") {
            let lower = word.to_ascii_lowercase();
            let of_web = lower.rfind("http").filter(|at| ["http", "https"].contains(&&lower[*at..]));
            if let Some(at) = of_web {
                written.push_str(&word[..=at]);
                written.push_str("xx");
                written.push_str(&word[at + 3..]);
            } else if lower.ends_with("hxxp") || lower.ends_with("hxxps") {
                written.push_str(word);
            } else {
                written.push_str(word);
                written.push_str("[:]//");
                rest = path;
            }
        } else if is_linked(word, written.chars().next_back(), after) {
            written.push_str(&word.replace('.', "[.]"));
        } else {
            written.push_str(word);
        }
    }
    written.push_str(rest);
    written
}

fn of_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.' || c == '-'
}

/// Whether mail programs make a link of the word, which stands between `before` and `after`.
fn is_linked(word: &str, before: Option<char>, after: &str) -> bool {
    let host = word.trim_end_matches(['.', '-']).to_ascii_lowercase();
    let Some((_, last)) = host.rsplit_once('.') else { return false };
    if last.len() < 2 || !last.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return false;
    }
    let has_path = after.starts_with('/');
    let of_person = before == Some('@') || after.starts_with('@');
    if !has_path && (of_person || is_of_service(&host)) {
        return false;
    }
    let begins = before.is_none_or(|c| !c.is_alphanumeric() && !"/:._-".contains(c));
    host.starts_with("www.")
        || last.len() == 2
        || LAST_LABELS.split(' ').any(|label| label == last)
        || (has_path && begins)
}

/// The name of an AWS service, or the identity provider of GitHub Actions.
fn is_of_service(host: &str) -> bool {
    let of_aws = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"));
    of_aws.is_some_and(|service| !service.contains('.')) || host == "token.actions.githubusercontent.com"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_mail_programs_make_links_of_is_written_otherwise() {
        let cases = [
            ("FALSE ALARM. Acknowledge at https://alerts.example/ack", "Acknowledge at hxxps://alerts[.]example/ack"),
            ("ftp://evil.com", "ftp[:]//evil[.]com"),
            ("evil.com", "evil[.]com"),
            ("www.evil.test", "www[.]evil[.]test"),
            ("role/www.evil.com", "role/www[.]evil[.]com"),
            ("evil.company/ack", "evil[.]company/ack"),
            ("ana@evil.com/ack", "ana@evil[.]com/ack"),
            ("s3.amazonaws.com/bucket/page", "s3[.]amazonaws[.]com/bucket/page"),
            ("x.s3-website-us-east-1.amazonaws.com", "x[.]s3-website-us-east-1[.]amazonaws[.]com"),
            ("http://192.0.2.1/x", "hxxp://192.0.2.1/x"),
            ("ende.https://x", "ende.hxxps://x"),
            ("hxxps://evil[.]com", "hxxps://evil[.]com"),
            ("évil.com", "évil[.]com"),
            ("verify.aws-security.support", "verify[.]aws-security[.]support"),
        ];
        for (given, expected) in cases {
            assert!(harmless(given).ends_with(expected), "{}", harmless(given));
        }
    }

    #[test]
    fn what_is_no_address_stays() {
        for text in [
            "john.smith",
            "user.name",
            "arn:aws:sts::111122223333:assumed-role/Admins/ana@corp.com",
            "Boto3/1.26.3 Python/3.9",
            "aws-cli/2.31.0 md/awscrt#0.28.1 os/linux lang/python#3.13.9 md/command#iam",
            "2026-01-17T02:41:07Z",
            "cloudformation.amazonaws.com",
            "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com",
            "repo:octo/app:ref:refs/heads/main",
        ] {
            assert_eq!(harmless(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_address_with_a_scheme_is_left(text in "[ -~]{0,20}(http|https|HTTP|ftp)://[a-z.]{1,12}[ -~]{0,20}") {
            let written = harmless(&text).to_ascii_lowercase();
            prop_assert!(!written.contains("http://") && !written.contains("https://") && !written.contains("ftp://"));
        }
    }
}
