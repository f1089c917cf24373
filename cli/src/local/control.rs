//! What the other commands ask of the supervisor, over a socket in the instance's folder.

use std::io;
use std::path::Path;

use clap::Args;
use serde::{Deserialize, Serialize};
use testbed::State;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::Error;

/// Used from within its folder, because the length of a socket's path is limited.
const SOCKET: &str = "control.sock";
/// More than any request or answer has.
const LONGEST: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// A member, control-plane for its API server, or navarch for `navarch serve all`
    #[arg(value_name = "MEMBER|COMPONENT")]
    pub(super) name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Request {
    Stop(String),
    Start(String),
    AddMember(String),
    /// Start `navarch serve all` if it was never started.
    Serve,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Answer {
    Done,
    Failed(Failure),
}

/// An [`Error`] on its way between two processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            detail: error.detail().map(str::to_owned),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = Self::new(failure.message).with_detail(failure.detail);
        match failure.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

pub(super) async fn stop(dir: &Path, name: &str) -> Result<(), Error> {
    ask(dir, &Request::Stop(name.to_owned())).await
}

pub(super) async fn start(dir: &Path, name: &str) -> Result<(), Error> {
    ask(dir, &Request::Start(name.to_owned())).await
}

/// Sends a request to the supervisor and waits until it has been done.
pub(super) async fn ask(dir: &Path, request: &Request) -> Result<(), Error> {
    if !State::load(dir)?.is_some_and(|state| state.is_running()) {
        return Err(not_running(dir));
    }
    let answer = exchange(dir, request).await.map_err(|error| {
        Error::new(format!("the supervisor does not answer: {error}"))
            .with_hint("navarch local down, then up again")
    })?;
    match answer {
        Answer::Done => Ok(()),
        Answer::Failed(failure) => Err(failure.into()),
    }
}

pub(super) fn not_running(dir: &Path) -> Error {
    Error::new(format!("nothing runs in {}", dir.display())).with_hint("navarch local up")
}

async fn exchange(dir: &Path, request: &Request) -> io::Result<Answer> {
    std::env::set_current_dir(testbed::sockets(dir))?;
    let mut stream = UnixStream::connect(SOCKET).await?;
    write(&mut stream, request).await?;
    read(&mut stream).await
}

/// The supervisor's end.
pub(super) struct Listener(UnixListener);

impl Listener {
    pub(super) fn bind(dir: &Path) -> io::Result<Self> {
        std::env::set_current_dir(testbed::sockets(dir))?;
        match std::fs::remove_file(SOCKET) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        UnixListener::bind(SOCKET).map(Self)
    }

    /// The next request that makes sense, and where its answer goes.
    pub(super) async fn next(&self) -> io::Result<(Request, UnixStream)> {
        loop {
            let (mut stream, _) = self.0.accept().await?;
            match read(&mut stream).await {
                Ok(request) => return Ok((request, stream)),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Request not understood"
                ),
            }
        }
    }
}

/// Who asked may be gone by now, which changes nothing.
pub(super) async fn answer(mut stream: UnixStream, result: Result<(), Error>) {
    let answer = result.map_or_else(
        |error| Answer::Failed(Failure::from(&error)),
        |()| Answer::Done,
    );
    let _ = write(&mut stream, &answer).await;
}

async fn write(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn read<T: serde::de::DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST))
        .read_line(&mut line)
        .await?;
    Ok(serde_json::from_str(&line)?)
}
