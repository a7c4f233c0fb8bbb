//! The attempts that bring a client's sessions back: each is a line of its own until the server answers RESUME, and then gives its carrier to the
//! line that has the session.

use std::time::Duration;

use adit_core::Instant;

use super::attempt::AttemptError;
use super::comeback::Comeback;
use super::line::{Line, Phase};
use super::{Client, relaying};
use crate::counters::Count;
use crate::io::Ask;
use crate::notice::Notice;

/// Attempts at once to bring one session back. Beyond it the oldest that has no connection yet makes room; where all have one, they are given their time.
const COMEBACKS_MAX: usize = 4;

impl Client {
    /// The line whose session this one is to bring back, if it is such an attempt.
    pub(super) fn brings_back(&self, line: usize) -> Option<usize> {
        let (target, _) = self.lines.get(line)?.brings_back.as_ref()?;
        Some(*target)
    }

    /// Attempts to bring back the session of `target`, oldest first.
    fn comebacks(&self, target: usize) -> Vec<usize> {
        self.lines_that(|line| {
            matches!(&line.brings_back, Some((of, _)) if *of == target)
                && !matches!(line.phase, Phase::Over(_))
        })
    }

    /// Does what bringing back the session of line `target` needs now. Whether that was anything.
    pub(super) fn bring_back(&mut self, now: Instant, target: usize) -> bool {
        let Some((relaying, _)) = relaying(&mut self.lines, &mut self.shared, target) else {
            return false;
        };
        if !relaying
            .comeback
            .as_ref()
            .is_some_and(Comeback::is_under_way)
        {
            return false;
        }
        let (well, rtt) = (relaying.is_well(now), relaying.session.rtt());
        let Some(comeback) = &mut relaying.comeback else {
            return false;
        };
        if well && comeback.calm() {
            self.end_comebacks(now, target);
            return true;
        }
        if let Some(resumption) = comeback.begin(now) {
            let under_way = self.comebacks(target);
            if under_way.len() >= COMEBACKS_MAX {
                let reaching = |key: &&usize| self.lines.get(**key).is_some_and(Line::is_reaching);
                let Some(&oldest) = under_way.iter().find(reaching) else {
                    return true;
                };
                if let Some(line) = self.lines.get_mut(oldest) {
                    line.stop(now, &mut self.shared);
                }
            }
            self.add_line(now, Some((target, resumption)));
            return true;
        }
        let asks = |key: &usize| self.lines.get(*key).is_some_and(Line::wants_position);
        let Some(attempt) = self.comebacks(target).into_iter().find(asks) else {
            return false;
        };
        let Some((line, Line { phase, .. })) = self.lines.get2_mut(attempt, target) else {
            return false;
        };
        let Phase::Open(relaying) = phase else {
            return false;
        };
        let Some(comeback) = &mut relaying.comeback else {
            return false;
        };
        if !comeback.may_state(now, attempt, rtt) {
            return false;
        }
        let epoch = |line: &Line| line.brings_back.as_ref().map(|(_, right)| right.epoch);
        let stated = epoch(line);
        line.state_position(now, &mut relaying.session, &mut self.shared);
        // Whatever was asked before is void, and so is an older right.
        for key in self.comebacks(target) {
            if let Some(other) = self.lines.get_mut(key).filter(|it| epoch(it) < stated) {
                other.stop(now, &mut self.shared);
            }
        }
        true
    }

    pub(super) fn end_comebacks(&mut self, now: Instant, target: usize) {
        for key in self.comebacks(target) {
            if let Some(line) = self.lines.get_mut(key) {
                line.stop(now, &mut self.shared);
            }
        }
    }

    /// The server answered RESUME on line `attempt`.
    pub(super) fn resumed(&mut self, now: Instant, attempt: usize) {
        let Some(target) = self.brings_back(attempt) else {
            return;
        };
        let Some((line, other)) = self.lines.get2_mut(target, attempt) else {
            return;
        };
        let Some(after) = line.take_over(now, target, other, &mut self.shared) else {
            if let Some(line) = self.lines.get_mut(attempt) {
                line.stop(now, &mut self.shared);
            }
            return;
        };
        if after.is_some() {
            self.shared.tally.less(Count::SessionsDetached);
        }
        self.shared.tally.add(Count::ResumesTotal, 1);
        self.backoff.reset();
        self.in_vain = 0;
        self.end_comebacks(now, target);
        let notice = Notice::Resumed { after };
        self.shared.sockets.ask(Ask::Notice(notice));
    }

    /// An attempt to bring back the session of `target` came to nothing; the server asked to be left alone for `at_least`. When the next one begins, if
    /// that is to be told.
    pub(super) fn comeback_failed(
        &mut self,
        now: Instant,
        target: usize,
        attempt: usize,
        error: &AttemptError,
        at_least: Duration,
    ) -> Option<Duration> {
        let line = self.lines.get_mut(target)?;
        if error.loses_session() {
            line.give_up(now, error.to_string());
            return None;
        }
        let Phase::Open(relaying) = &mut line.phase else {
            return None;
        };
        let comeback = relaying.comeback.as_mut()?;
        comeback.stay_away(now + at_least);
        let tell = comeback.failed(now, attempt);
        tell.then(|| {
            comeback
                .poll_timeout()
                .map_or(Duration::ZERO, |at| at - now)
        })
    }
}
