//! What is asked of a server: the words for it in messages, and which errors it can have.

use std::fmt;

/// One operation, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call<'a> {
    Live,
    Ready,
    Server,
    ModelReady(Model<'a>),
    Metadata(Model<'a>),
    Config(Model<'a>),
    Infer(Model<'a>),
    Index,
    Load(Model<'a>),
    Unload(Model<'a>),
    Statistics(Option<Model<'a>>),
}

/// A model by name, and by version unless any will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Model<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// The model that is asked for, if one is.
    pub(crate) fn model(self) -> Option<Model<'a>> {
        match self {
            Self::Live | Self::Ready | Self::Server | Self::Index => None,
            Self::ModelReady(m)
            | Self::Metadata(m)
            | Self::Config(m)
            | Self::Infer(m)
            | Self::Load(m)
            | Self::Unload(m) => Some(m),
            Self::Statistics(m) => m,
        }
    }
}

/// Do a server's words say that it has no such model? Its status does not always.
pub(crate) fn is_unknown(words: &str) -> bool {
    words.starts_with("Request for unknown model")
        || words.starts_with("requested model '") && words.ends_with("is not available")
}

impl fmt::Display for Model<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        self.version.map_or(Ok(()), |v| write!(f, " version {v}"))
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("server live"),
            Self::Ready => f.write_str("server ready"),
            Self::Server => f.write_str("server metadata"),
            Self::ModelReady(m) => write!(f, "model ready {m}"),
            Self::Metadata(m) => write!(f, "model metadata {m}"),
            Self::Config(m) => write!(f, "model config {m}"),
            Self::Infer(m) => write!(f, "infer {m}"),
            Self::Index => f.write_str("repository index"),
            Self::Load(m) => write!(f, "load {m}"),
            Self::Unload(m) => write!(f, "unload {m}"),
            Self::Statistics(None) => f.write_str("statistics"),
            Self::Statistics(Some(m)) => write!(f, "statistics {m}"),
        }
    }
}
