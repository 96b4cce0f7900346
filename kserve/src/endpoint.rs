//! Where a server is, and how to talk to it.

use std::fmt;
use std::str::FromStr;

use crate::KserveError;

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP/1.1 with the binary tensor extension. Triton's port is 8000.
    Http,
    /// gRPC over HTTP/2 without TLS. Triton's port is 8001.
    Grpc,
}

/// A server: `http://HOST:PORT` or `grpc://HOST:PORT`. Without a port it is Triton's, 8000 or 8001.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    transport: Transport,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl Endpoint {
    /// A server by its parts. An IPv6 `host` goes without brackets.
    #[must_use]
    pub fn new(transport: Transport, host: impl Into<String>, port: u16) -> Self {
        Self { transport, host: host.into(), port }
    }

    /// How requests travel.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Name or address of the machine.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT`, as a `Host` header has it.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Http => "http",
            Transport::Grpc => "grpc",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = KserveError;

    fn from_str(text: &str) -> Result<Self, KserveError> {
        let refuse = |problem| KserveError::Endpoint { text: text.into(), problem };
        let (scheme, rest) = text.split_once("://").ok_or(refuse("it has no scheme"))?;
        let transport = match scheme {
            "http" => Transport::Http,
            "grpc" => Transport::Grpc,
            "https" | "grpcs" => return Err(refuse("TLS is not spoken here")),
            _ => return Err(refuse("its scheme is not known")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) || rest.contains(char::is_whitespace) {
            return Err(refuse("there is more than a host and a port"));
        }
        let (host, port) = split(rest).ok_or(refuse("host and port can't be told apart"))?;
        if host.is_empty() {
            return Err(refuse("it has no host"));
        }
        let port = match port {
            None if transport == Transport::Http => 8000,
            None => 8001,
            Some(port) => {
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let number = port.parse().ok().filter(|number| digits && *number > 0);
                number.ok_or(refuse("the port is no number from 1 to 65535"))?
            }
        };
        Ok(Self::new(transport, host, port))
    }
}

/// Host and port; an IPv6 address stands in brackets.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port {
            "" => Some((host, None)),
            port => Some((host, Some(port.strip_prefix(':')?))),
        };
    }
    match text.split_once(':') {
        None => Some((text, None)),
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["http://localhost:8000", "grpc://10.0.0.1:9", "http://[::1]:80"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let defaults = ["http://triton", "grpc://triton/", "http://[fe80::1]"];
        let ports = defaults.map(|text| text.parse::<Endpoint>().unwrap().port());
        assert_eq!(ports, [8000, 8001, 8000]);
    }

    #[test]
    fn refused_with_a_reason() {
        let cases = [
            ("localhost:8000", "no scheme"),
            ("https://triton:443", "TLS"),
            ("grpcs://triton", "TLS"),
            ("ftp://triton", "scheme is not known"),
            ("http://", "no host"),
            ("http://:8000", "no host"),
            ("http://triton:0", "1 to 65535"),
            ("http://triton:65536", "1 to 65535"),
            ("http://triton:+80", "1 to 65535"),
            ("http://triton:", "1 to 65535"),
            ("http://::1", "told apart"),
            ("http://[::1", "told apart"),
            ("http://[::1]80", "told apart"),
            ("http://triton:8000/v2", "more than"),
            ("http://me@triton:8000", "more than"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
            assert!(error.hint().is_some(), "{error}");
        }
    }
}
