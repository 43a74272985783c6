//! Topics that are believed, and the addresses that follow from them.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// Bytes of an ARN: a name has 256 at most, all before it about 80.
const MAX_ARN_BYTES: usize = 512;

/// A topic of SNS, by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    arn: String,
    /// The only host that its certificates and confirmations are asked of.
    host: String,
}

/// Why an ARN or an address does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicError {
    /// Not `arn:aws:sns:<region>:<account>:<name>`.
    Arn(String),
    /// Not an address of the topic's SNS.
    Address(&'static str),
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arn(arn) => write!(f, "`{arn}` is not arn:aws:sns:<region>:<account>:<name>"),
            Self::Address(name) => write!(f, "{name} is no address of the topic's SNS"),
        }
    }
}

impl std::error::Error for TopicError {}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(arn: &str) -> Result<Self, TopicError> {
        let fault = || TopicError::Arn(arn.chars().take(MAX_ARN_BYTES).collect());
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = *parts else { return Err(fault()) };
        let ends_in = match partition {
            "aws" | "aws-us-gov" => "amazonaws.com",
            "aws-cn" => "amazonaws.com.cn",
            _ => return Err(fault()),
        };
        // The region becomes part of a host's name.
        let of_region = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let good = arn.len() <= MAX_ARN_BYTES
            && !region.is_empty()
            && region.chars().all(of_region)
            && account.len() == 12
            && account.chars().all(|c| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(of_name);
        if !good {
            return Err(fault());
        }
        Ok(Self { arn: arn.to_owned(), host: format!("sns.{region}.{ends_in}") })
    }
}

impl Topic {
    pub(super) fn arn(&self) -> &str {
        &self.arn
    }

    /// Where a certificate may be read: a file in PEM of the name that SNS gives its certificates, at the topic's own SNS.
    pub(super) fn certificate(&self, address: &str) -> Result<Url, TopicError> {
        let fault = TopicError::Address("SigningCertURL");
        let url = self.own(address).filter(|url| url.query().is_none()).ok_or(fault.clone())?;
        let name = url.path().strip_prefix("/SimpleNotificationService-");
        let name = name.and_then(|name| name.strip_suffix(".pem"));
        let plain =
            |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
        if name.filter(plain).is_none() {
            return Err(fault);
        }
        Ok(url)
    }

    /// Where a subscription to this topic is confirmed.
    pub(super) fn confirmation(&self, address: &str) -> Result<Url, TopicError> {
        let url = self.own(address).filter(|url| url.path() == "/").filter(|url| {
            let is = |name: &str, value: &str| {
                let mut pairs = url.query_pairs().filter(|(its, _)| its == name);
                pairs.next().is_some_and(|(_, its)| its == value) && pairs.next().is_none()
            };
            is("Action", "ConfirmSubscription") && is("TopicArn", &self.arn)
        });
        url.ok_or(TopicError::Address("SubscribeURL"))
    }

    /// An address at the topic's SNS, with nothing in it that could lead elsewhere.
    fn own(&self, address: &str) -> Option<Url> {
        let url = Url::parse(address).ok()?;
        let bare = url.username().is_empty() && url.password().is_none();
        // A port that is https's own is none to the parser.
        let good = url.scheme() == "https"
            && url.host_str() == Some(self.host.as_str())
            && url.port().is_none()
            && url.fragment().is_none()
            && bare;
        good.then_some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sns:eu-central-1:111122223333:flagforge-roots";

    #[test]
    fn an_arn_is_a_topics_or_refused() {
        assert!(ARN.parse::<Topic>().is_ok());
        let chinese = "arn:aws-cn:sns:cn-north-1:111122223333:roots".parse::<Topic>().unwrap();
        let pem = "/SimpleNotificationService-0a.pem";
        assert!(
            chinese.certificate(&format!("https://sns.cn-north-1.amazonaws.com.cn{pem}")).is_ok()
        );
        assert!(
            chinese.certificate(&format!("https://sns.cn-north-1.amazonaws.com{pem}")).is_err()
        );
        for wrong in [
            "",
            "arn:aws:sqs:eu-central-1:111122223333:flagforge-roots",
            "arn:aws:sns:eu-central-1:11112222333:roots",
            "arn:aws:sns::111122223333:roots",
            "arn:aws:sns:evil.example/:111122223333:roots",
            "arn:aws:sns:eu-central-1.evil.example:111122223333:roots",
            "arn:other:sns:eu-central-1:111122223333:roots",
            "arn:aws:sns:eu-central-1:111122223333:roots:a-subscription",
            "arn:aws:sns:eu-central-1:111122223333:",
        ] {
            assert_eq!(wrong.parse::<Topic>(), Err(TopicError::Arn(wrong.to_owned())));
        }
    }

    #[test]
    fn a_certificate_comes_from_the_topics_sns_and_nowhere_else() {
        let topic: Topic = ARN.parse().unwrap();
        let good =
            "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5.pem";
        assert_eq!(topic.certificate(good).unwrap().as_str(), good);
        assert!(topic.certificate(&good.replace(".com/", ".com:443/")).is_ok());
        for wrong in [
            good.replace("https", "http"),
            good.replace(".com/", ".com:8443/"),
            good.replace("https://", "https://evil.example@"),
            good.replace("amazonaws.com", "amazonaws.com.evil.example"),
            good.replace("amazonaws.com", "amazonaws.com.cn"),
            good.replace("sns.", "s3."),
            good.replace("sns.", "evil.sns."),
            good.replace("eu-central-1", "us-east-1"),
            good.replace("SimpleNotificationService-", "bucket/SimpleNotificationService-"),
            good.replace("SimpleNotificationService-", "../SimpleNotificationService-x/"),
            good.replace("SimpleNotificationService-9c", "SimpleNotificationService-%2e"),
            good.replace("9c6465fa7f48f5", ""),
            good.replace(".pem", ".pem?next=1"),
            good.replace(".pem", ".pem#x"),
            good.replace(".pem", ".crt"),
            "sns.eu-central-1.amazonaws.com".to_owned(),
        ] {
            assert!(topic.certificate(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_subscription_to_the_topic_itself_is_confirmed() {
        let topic: Topic = ARN.parse().unwrap();
        let good = format!(
            "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={ARN}&Token=2336"
        );
        assert!(topic.confirmation(&good).is_ok());
        for wrong in [
            good.replace("eu-central-1.amazonaws.com/", "eu-central-1.amazonaws.com/x"),
            good.replace("https", "http"),
            good.replace("ConfirmSubscription", "Unsubscribe"),
            good.replace("flagforge-roots", "other"),
            format!("{good}&TopicArn=arn:aws:sns:eu-central-1:111122223333:other"),
            format!("{good}&Action=DeleteTopic"),
            good.replace("sns.eu-central-1.amazonaws.com", "169.254.169.254"),
        ] {
            assert!(topic.confirmation(&wrong).is_err(), "{wrong}");
        }
    }
}
