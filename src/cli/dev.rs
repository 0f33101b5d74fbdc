//! `hookward dev`: a whole trial on this machine without a configuration, then a sidecar to play with.

mod apps;
mod configuration;
mod feed;
mod hints;
mod scenario;
mod sender;
mod show;
mod stage;
mod trial;

use super::{Exit, complain, say};
use crate::boot::StartError;
use apps::Apps;
use clap::Args;
use feed::{Feed, Said};
use show::Show;
use stage::Stage;
use std::io;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Args)]
pub(super) struct DevArgs {
    /// Leave after the trial: 0 only if every outcome was the expected one.
    #[arg(long)]
    once: bool,
}

pub(super) fn dev(args: &DevArgs) -> anyhow::Result<Exit> {
    let apps = Apps::bind()?;
    let (sink, feed) = feed::feed();
    let stage = match Stage::start(&apps, sink) {
        Ok(stage) => stage,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            let busy = matches!(error.downcast_ref(), Some(StartError::Listen { .. }));
            return Ok(if busy { Exit::Unavailable } else { Exit::Finding });
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let interrupted = interruption()?;
        tokio::select! {
            ended = play(args, &stage, &apps, feed) => ended,
            failed = apps.serve() => Err(failed.into()),
            // Whoever stops the trial has no verdict; whoever is done playing has had it.
            () = interrupted => Ok(if args.once { Exit::Finding } else { Exit::Fine }),
        }
    });
    // Nothing here outlives the trial, so nothing is worth a drain.
    stage.sidecar.abort();
    ended
}

/// The trial, and what comes after it until somebody presses ^C.
async fn play(args: &DevArgs, stage: &Stage, apps: &Apps, mut feed: Feed) -> anyhow::Result<Exit> {
    let mut show = Show::on_stdout(stage.clock.clone());
    show.banner(&stage.banner(apps))?;
    let steps = scenario::steps(&stage.senders, stage.clock.wall())?;
    let passed = trial::run(&steps, stage, apps, &mut feed, &mut show).await?;
    if args.once {
        return Ok(if passed { Exit::Fine } else { Exit::Finding });
    }
    // An image without a folder for temporary files has no shell to paste into either.
    let kept = configuration::Kept::write(&stage.configuration).ok();
    say(&hints::hints(stage, kept.as_ref().map(configuration::Kept::path))?)?;
    apps.forget_bodies();
    while let Some(said) = feed.next().await {
        match said {
            Said::Request(record) => show.stranger(&record, &apps.take(&record.trace))?,
            Said::Message { level, text } => show.message(&level, &text)?,
        }
    }
    Ok(Exit::Fine)
}

/// Ready at the first ^C or SIGTERM from now on.
fn interruption() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
