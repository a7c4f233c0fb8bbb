//! What server and client settings have in common.

use std::path::PathBuf;
use std::time::Duration;

use crate::SettingsError;
use crate::flags::{Given, Logging, Origin, SessionLimitFlags};
use crate::values::{ByteSize, Secret, TokenSource};

pub use crate::flags::LogFormat;

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of the lines.
    pub format: LogFormat,
    /// What is logged, in the filter syntax of tracing-subscriber; the logger checks it.
    pub filter: String,
}

impl LogSettings {
    pub(crate) fn of(flags: Logging) -> Self {
        Self {
            format: flags.log_format,
            filter: flags.log_level,
        }
    }
}

/// Limits of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Streams at one time, at least 1.
    pub max_streams: u32,
    /// Bytes held for slow readers in each direction, at least [`MIN_SESSION_WINDOW`].
    pub window: u64,
    /// Bytes that one stream may have under way to here or unread, at least [`MIN_SESSION_WINDOW`].
    pub stream_window: u64,
    /// Bytes sent that are kept until they are acknowledged, at least [`MIN_SESSION_WINDOW`].
    pub replay: u64,
    /// How long a session waits for a new carrier; zero if it ends with its first.
    pub resume_window: Duration,
}

/// The smallest window or replay limit, in bytes: less could not give every stream a useful first grant, or keep a path busy.
pub const MIN_SESSION_WINDOW: u64 = 64 << 10;

impl SessionLimits {
    pub(crate) fn of(flags: SessionLimitFlags) -> Result<Self, SettingsError> {
        let enough = |flag: &str, ByteSize(size)| {
            if size < MIN_SESSION_WINDOW {
                return Err(SettingsError::Combination(format!(
                    "{flag} {} is too small; give at least {}",
                    ByteSize(size),
                    ByteSize(MIN_SESSION_WINDOW)
                )));
            }
            Ok(size)
        };
        Ok(Self {
            max_streams: flags.max_streams.get(),
            window: enough("--session-window", flags.session_window)?,
            stream_window: enough("--stream-window", flags.stream_window)?,
            replay: enough("--replay-limit", flags.replay_limit)?,
            resume_window: flags.resume_window,
        })
    }
}

/// The one place that decides which token counts.
pub(crate) fn token_source(
    file: Option<Given<PathBuf>>,
    value: Option<Given<Secret>>,
    warnings: &mut Vec<String>,
) -> Result<TokenSource, SettingsError> {
    match (file, value) {
        (Some(file), None) => Ok(TokenSource::File(file.value)),
        (None, Some(token)) => {
            if matches!(token.origin, Origin::Flag(_)) {
                warnings.push(
                    "the token on the command line can be seen by every user of this machine; use \
                     --token-file or ADIT_TOKEN"
                        .into(),
                );
            }
            Ok(TokenSource::Value(token.value))
        }
        (Some(file), Some(token)) => Err(SettingsError::Combination(format!(
            "two tokens are given, by {} and by {}; keep one of them",
            file.origin, token.origin
        ))),
        (None, None) => Err(SettingsError::Combination(
            "there is no token: name the file that holds it with --token-file FILE (ADIT_TOKEN_FILE \
             or ADIT_TOKEN do as well); `adit token new --out FILE` makes one"
                .into(),
        )),
    }
}
